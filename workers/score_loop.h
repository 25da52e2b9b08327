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

#include "workers/document_stream.h"
#include "workers/lease_source.h"
#include "workers/loaded_model.h"
#include "workers/run_journal.h"
#include "workers/saved_states.h"
#include "workers/work_desk.h"

namespace tovamill {

StreamSetting stream_setting(const LoadedModel& model, const RunOptions& options);

class ScoreLoop {
 public:
  // Bad records throw with `strict`, else they go to the journal as failures.
  ScoreLoop(LoadedModel& model, const RunOptions& options, int rank, LeaseSource& source,
            RunJournal& journal, const SavedStates& states, WorkDesk& desk);

  // Until the desk's orders end it. Whether everything was done; otherwise the states of documents
  // under way have been saved. Throws what reading, computing or writing throws; before out of
  // memory is thrown, the journal says so.
  bool run();

  const WorkerCounters& counters() const { return counters_; }

 private:
  struct Active {
    std::unique_ptr<DocumentStream> stream;
    std::uint64_t grant = 0;
    std::string file;
    std::uint64_t offset = 0;
    double saved_s = 0.0;
    bool has_state = false;  // there is a file of it
  };

  bool turn();
  void wait();
  void fill();
  void admit(LeaseSource::Item item);
  void fail(const LeaseSource::Item& item, const std::string& reason, const std::string& text);
  void count_failure(const DocumentRecord& record);
  std::int32_t rows_ready() const;
  void step();
  void retire();
  void sync_done();
  void save_due();
  void save_all();
  void save(Active& active);
  void publish();
  std::uint64_t bytes_open() const;

  LoadedModel& model_;
  const RunOptions& options_;
  int rank_;
  LeaseSource& source_;
  RunJournal& journal_;
  const SavedStates& states_;
  WorkDesk& desk_;
  StreamSetting setting_;
  std::list<Active> streams_;
  std::vector<std::unique_ptr<StreamState>> idle_states_;
  std::optional<LeaseSource::Item> held_;  // has no room yet
  std::vector<std::pair<std::string, std::uint64_t>> done_with_state_;
  std::vector<StepBlock> blocks_;
  std::vector<DocumentStream*> owners_;
  std::vector<std::int32_t> ids_, targets_;
  WorkerCounters counters_;
};

}  // namespace tovamill
