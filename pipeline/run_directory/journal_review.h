// What a journal holds: read from front to back when a worker was lost. Memory is that of the sets
// alone.
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "pipeline/distributed/span_set.h"
#include "pipeline/run_directory/document_record.h"
#include "pipeline/run_directory/journal_entries.h"

namespace tovamill {

struct JournalReview {
  std::string header;  // JSON text of its header record; empty if it was torn before that
  std::string footer;  // JSON text of its last footer record; empty if it died before
  std::string crash;   // why the process died, if it left a trace; else empty
  std::vector<std::string> files;      // corpus files it names, in the order of appearance
  std::vector<SpanSet> done;           // (files) places that documents and span entries account for
  std::vector<SpanEntry> spans;        // the span entries, in order
  std::vector<BegunEntry> unfinished;  // documents begun and not finished, in order
  std::uint64_t n_begun = 0;
  std::uint64_t n_documents = 0;  // finished, doubles and failed ones included
  std::uint64_t n_failed = 0;     // of these
  std::uint64_t n_tokens = 0;     // of these
  std::uint64_t n_ignored = 0;    // bytes of a torn tail
};

// `visit` (if given) is called for each document in order with the position of its record. Throws
// Error(no_input) if the file cannot be opened, BadData if an intact record does not decode.
JournalReview review_journal(
    const std::string& path,
    const std::function<void(const RecordKey&, std::uint64_t position)>& visit = {});

}  // namespace tovamill
