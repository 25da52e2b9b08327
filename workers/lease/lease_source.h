// The records of a worker's leases, one after another, and the account of which lease is through.
#pragma once

#include <cstdint>
#include <deque>
#include <map>
#include <memory>
#include <optional>
#include <string>

#include "io/corpus/record_reader.h"
#include "workers/lease/run_journal.h"
#include "workers/lease/worker_mailbox.h"

namespace tovamill {

class LeaseSource {
 public:
  struct Item {
    CorpusRecord record;
    std::uint64_t lease = 0;
    LeaseMode mode = LeaseMode::normal;
    std::string note;  // quarantined: why
  };

  LeaseSource(const CorpusOptions& options, WorkerMailbox& mailbox, RunJournal& journal)
      : options_(options), mailbox_(mailbox), journal_(journal) {}

  // The next record; nothing where no lease has one now. What a range holds beside records is
  // journaled on the way.
  std::optional<Item> next();
  // The document of this lease is in the journal.
  void retire(std::uint64_t lease);
  // Everything in the journal is durable: leases that are through may be reported.
  void report_durable();

  bool has_unread() const { return reading_ || !waiting_.empty(); }
  bool has_lease_ahead() const { return !waiting_.empty(); }
  std::size_t n_open() const { return open_.size(); }
  // About how many bytes of text have not been read yet.
  std::uint64_t n_bytes_unread() const;

 private:
  struct Open {
    std::uint64_t n_documents = 0;  // handed out and not yet in the journal
    bool is_read = false;
  };
  void fetch();
  void open_range();
  void close_range();

  const CorpusOptions& options_;
  WorkerMailbox& mailbox_;
  RunJournal& journal_;
  std::deque<Lease> waiting_;
  bool reading_ = false;
  Lease current_;
  std::size_t range_ = 0;
  std::string reader_path_;
  std::unique_ptr<RecordReader> reader_;
  bool range_is_open_ = false;
  std::map<std::uint64_t, Open> open_;
};

}  // namespace tovamill
