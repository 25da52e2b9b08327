// The layout of a run directory, and what its journals hold:
//   journal/<rank>-<launch>.log   one per incarnation of a worker; a launch is numbered one higher
//   than any there status.json, results.h5
// The journals are the truth; a scan keeps 32 bytes per document and no texts.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "pipeline/document_record.h"

namespace tovamill {

std::string journal_directory(const std::string& run_directory);
std::string results_path(const std::string& run_directory);
std::string journal_path(const std::string& run_directory, int rank, int launch);
// Makes the run directory and its journal/ (durably), if they are not there. Throws
// Error(cannot_create).
void create_run_directory(const std::string& run_directory);
// One higher than any launch that left a journal; 1 for the first. To be asked once per launch, by
// one rank.
int next_launch(const std::string& run_directory);

// One journal: an incarnation of a worker.
struct JournalFile {
  std::string path;
  int rank = 0;
  int launch = 0;
  std::string header;  // JSON text of its header record; empty if it was torn before that
  std::string footer;  // JSON text of its last footer record; empty if it died before
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
};

// What the journals of a run directory hold, doubles dropped (the record of the earliest launch,
// then of the lowest rank, counts).
struct JournalIndex {
  std::vector<JournalFile> journals;        // by launch, then rank
  std::vector<std::string> files;           // corpus files, bytewise order
  std::vector<DocumentLocation> documents;  // by (file, offset)
  std::uint64_t n_failed = 0;               // of these
  std::uint64_t n_tokens = 0;               // of these
  std::size_t longest_id = 0, longest_file = 0, longest_failure = 0;  // bytes

  // Whether a document is finished (scored or failed). `file` is absolute, as in CorpusRecord.
  bool contains(std::string_view file, std::uint64_t offset) const;
};

// Reads every journal once. A run directory without journals gives an empty index. Throws
// Error(no_input) if the run directory does not exist, BadData if an intact record does not decode
// (another program version).
JournalIndex scan_journals(const std::string& run_directory);

}  // namespace tovamill
