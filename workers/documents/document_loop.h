// The inner loop of a worker: documents side by side through the model, a step at a time, as long
// as there are leases.
#pragma once

#include <cstdint>
#include <list>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "pipeline/results/stream_file.h"
#include "pipeline/run_directory/timeline.h"
#include "workers/documents/document_work.h"
#include "workers/documents/saved_states.h"
#include "workers/lease/lease_source.h"
#include "workers/lease/run_journal.h"
#include "workers/lease/worker_mailbox.h"
#include "workers/options/run_options.h"

namespace tovamill {

class DocumentLoop {
 public:
  // Bad records throw with `strict`, else they go to the journal as failures.
  DocumentLoop(DocumentWork& work, const RunOptions& options, int rank, LeaseSource& source,
               RunJournal& journal, const SavedStates& states, WorkerMailbox& mailbox);

  // Until the mailbox's orders end it. Whether everything was done; otherwise the states of
  // documents in flight have been saved. Throws what reading, computing or writing throws; before
  // out of memory is thrown, the journal says so.
  bool run();

  const WorkerCounters& counters() const { return counters_; }
  const Timeline& timeline() const { return timeline_; }  // since the loop was made

 private:
  struct Active {
    std::unique_ptr<DocumentInFlight> document;
    std::uint64_t lease = 0;
    std::string file;
    std::uint64_t offset = 0;
    double saved_s = 0.0;
    bool has_state = false;  // there is a file of it
  };

  bool iterate();
  void fill_up();
  void wait();
  void fill();
  bool admit(LeaseSource::Item& item, bool was_held);
  void fail(const LeaseSource::Item& item, const std::string& reason, const std::string& text);
  void record(const DocumentRecord& record);
  void count_failure(const DocumentRecord& record);
  void step();
  void retire();
  void drain();
  void sync_done();
  void save_due();
  void save_all();
  void save(Active& active);
  void publish();
  std::uint64_t bytes_open() const;
  void count_computing(double start_s, std::uint64_t n_tokens);
  void count_waiting(double start_s);

  DocumentWork& work_;
  const RunOptions& options_;
  int rank_;
  LeaseSource& source_;
  RunJournal& journal_;
  const SavedStates& states_;
  WorkerMailbox& mailbox_;
  std::list<Active> documents_;
  bool waits_for_leases_ = true;
  std::optional<LeaseSource::Item> held_;  // has no room yet
  std::vector<std::pair<std::string, std::uint64_t>> done_with_state_;
  std::optional<StreamFile> stream_;          // --stream-jsonl
  std::vector<DocumentRecord> not_streamed_;  // in the journal, and not yet durable
  WorkerCounters counters_;
  Timeline timeline_;
  double start_s_;
};

}  // namespace tovamill
