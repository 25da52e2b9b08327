// The layout of a run directory, and what its journals hold:
//   journal/launch-<launch>.log   empty: the number is taken
//   journal/<rank>-<launch>.log   one per incarnation of a worker; a launch is numbered one higher
//                                 than any there
//   journal/inputs.log            the corpus files, see input_files.h
//   status.json, results.h5
// The journals are the truth; a scan keeps 64 bytes per document and no texts.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "pipeline/distributed/span_set.h"
#include "pipeline/run_directory/document_record.h"

namespace tovamill {

std::string journal_directory(const std::string& run_directory);
std::string results_path(const std::string& run_directory);
std::string journal_path(const std::string& run_directory, int rank, int launch);
// Makes the run directory and its journal/ (durably), if they are not there. Throws
// Error(cannot_create).
void create_run_directory(const std::string& run_directory);
// One higher than any launch that left a journal; 1 for the first. One rank calls this once per
// launch.
int next_launch(const std::string& run_directory);
// Reserves the number of the next launch: no other process gets it, on whatever host and however
// this launch ends. Throws Error(io or cannot_create).
int reserve_launch(const std::string& run_directory);

// One journal: an incarnation of a worker.
struct JournalFile {
  std::string path;
  std::uint32_t run_directory = 0;  // index into JournalIndex::run_directories
  int rank = 0;
  int launch = 0;
  std::string header;         // JSON text of its header record; empty if it was torn before that
  std::string footer;         // JSON text of its last footer record; empty if it died before
  std::string crash;          // why the process died, if it left a trace; else empty
  std::uint64_t n_begun = 0;  // documents that entered the model
  std::uint64_t n_documents = 0;  // records of documents, doubles and failed ones included
  std::uint64_t n_tokens = 0;     // of these
  std::uint64_t n_ignored = 0;    // bytes of a torn tail
};

// Where a document's record lies.
struct DocumentLocation {
  std::uint32_t file = 0;      // index into JournalIndex::files
  std::uint32_t journal = 0;   // index into JournalIndex::journals
  std::uint64_t offset = 0;    // of the document in its file
  std::uint64_t position = 0;  // of the record in its journal
  // As in DocumentRecord: the places that it accounts for.
  std::uint64_t span_begin = 0, span_end = 0;
  std::uint64_t n_lines : 63 = 0;
  std::uint64_t has_id : 1 = 0;  // else the merge names it
};

// Places [begin, end) of a corpus file in which `n_lines` lines and no document begin.
struct LineSpan {
  std::uint32_t file = 0;  // index into JournalIndex::files
  std::uint64_t begin = 0, end = 0;
  std::uint64_t n_lines = 0;

  bool operator==(const LineSpan&) const = default;
};

// A document that was begun in a journal without a footer and finished by no rank: perhaps it
// crashes workers.
struct Suspect {
  std::uint32_t file = 0;       // index into JournalIndex::files
  std::uint64_t offset = 0;     // of the document in its file
  std::uint32_t n_crashes = 0;  // journals that ended so with a crash entry
  std::uint32_t n_deaths = 0;   // ... without

  bool operator==(const Suspect&) const = default;
};

// What the journals of run directories hold, without duplicates (the record of the earliest launch,
// then of the lowest rank, counts; of a file that broke off in several places, the first place).
struct JournalIndex {
  std::vector<std::string> run_directories;  // bytewise order
  std::vector<JournalFile> journals;         // by launch, then rank, then path
  std::vector<std::string> files;            // corpus files, bytewise order
  std::vector<SpanSet> done;                 // (files) places that are accounted for
  std::vector<LineSpan> line_spans;  // by (file, begin, end): span entries, and where duplicates
                                     // of a document account for differently many blank lines
  std::vector<DocumentLocation> documents;                            // by (file, offset)
  std::vector<Suspect> suspects;                                      // by (file, offset)
  std::uint64_t n_failed = 0;                                         // of the documents
  std::uint64_t n_tokens = 0;                                         // of the documents
  std::size_t longest_id = 0, longest_file = 0, longest_failure = 0;  // bytes, of the documents

  // Whether a document is finished (scored or failed). `file` is absolute, as in CorpusRecord.
  bool contains(std::string_view file, std::uint64_t offset) const;
  // The places of a file that are accounted for; an empty set where no journal names it.
  const SpanSet& done_of(std::string_view file) const;
};

// Reads every journal of one or several run directories once. A run directory without journals
// gives an empty index. Throws Error(no_input) if a run directory does not exist, BadData if an
// intact record does not decode (another program version).
JournalIndex scan_journals(const std::string& run_directory);
JournalIndex scan_journals(const std::vector<std::string>& run_directories);

}  // namespace tovamill
