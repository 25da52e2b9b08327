// A corpus: which files it is (directories, globs and files), and what a record of it holds.
// Formats stand in corpus_format.h, who reads them in record_reader.h.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "io/corpus/corpus_format.h"

namespace tovamill {

class LeftOut;

struct CorpusFile {
  std::string path;           // absolute, lexically normal
  std::uint64_t n_bytes = 0;  // on disk
  CorpusFormat format = {};
};

struct CorpusOptions {
  std::vector<std::string> paths;  // files, directories (searched below), globs
  std::string glob;                // only files whose name matches; empty is every known ending
  std::string own_output = {};     // a file that the run itself writes: no part of the corpus
  std::string text_key = "text";
  std::string id_key = "id";
  std::uint64_t max_record_bytes = 1u << 30;  // of decompressed text
  // The keys of a record's questions and of the references that its texts are compared with; empty:
  // not read. A record without the key is no failure.
  std::string question_key = {}, reference_key = {};
  // The file holds references alone: texts and questions are not read. A list that holds a list has
  // the references of several questions; a list of strings stays one entry.
  bool only_references = false;
};

// A part of a corpus file, from one place to another: the records between. Its ends lie anywhere.
struct CorpusRange {
  std::uint64_t begin = 0, end = kToTheEnd;
};

// Places of a corpus file that are accounted for, and the lines that begin in them. Where the end
// of the file was met, `end` is kToTheEnd.
struct CorpusSpan {
  std::uint64_t begin = 0, end = 0;
  std::uint64_t n_lines = 0;

  bool empty() const { return begin == end; }
  bool operator==(const CorpusSpan&) const = default;
};

// A document, or a record that could not be read as one. Exactly one of `text` and `failure`
// counts.
struct CorpusRecord {
  std::string file;  // CorpusFile::path
  // 1-based where records are lines and the range begins at 0, else 0: not known, or there is none.
  std::uint64_t line = 0;
  // Its place: of lines and texts the byte offset in the decompressed file, behind a byte order
  // mark.
  std::uint64_t offset = 0;
  std::uint64_t n_bytes = 0;  // of the record, decompressed, without its line ending
  // What the record accounts for: the places [span_begin, span_end), from the end of the record
  // before it in this range (blank lines and a byte order mark included) to the start of the next
  // (that of a last line without a newline: as if it had one);
  // 0 to kToTheEnd where the file is one record; to kToTheEnd where the file breaks off. `n_lines`
  // begin there, its own the last; 0 where records are no lines.
  std::uint64_t span_begin = 0, span_end = 0, n_lines = 0;
  // id_key (a string that is not empty, or a number as written), else <file name> or <file
  // name>:<line>; empty where that line is not known.
  std::string id;
  std::string text;  // valid UTF-8, not empty
  // question_key: a string, or a list of strings. Valid UTF-8, none empty; no entry where the key
  // is absent or null.
  std::vector<std::string> questions;
  bool has_question_list = false;
  // reference_key: the references of each question, in its order; of a record without questions the
  // one entry is the record's. Empty where the key is absent or null. For a single question (or
  // none) a string or a list of strings; for a list of questions a list as long, of strings or of
  // lists of strings.
  std::vector<std::vector<std::string>> references;
  std::string failure_reason;  // empty, or a stable code: "invalid-json", "missing-key",
                               // "not-a-string", "invalid-utf8", "empty", "too-large", "truncated",
                               // "unreadable", "bad-question", "bad-reference"
  std::string failure_text;    // one line for people, without the file and line

  bool ok() const { return failure_reason.empty(); }
};

// The corpus files in path order (bytewise), each once, however many names, links or paths lead to
// it. Directories are searched recursively; hidden entries and run directories are left out. The
// order of `paths` has no influence. Throws Error(no_input) naming
// a path that does not exist or matches nothing; a file of an unknown ending named outright is an
// Error(usage) with the known endings. `left_out` is told what else there was.
std::vector<CorpusFile> list_corpus(const CorpusOptions& options, LeftOut* left_out = nullptr);

// The same files in any order, if there are fewer than `n_enough`; nothing if there are more, or if
// the directories hold too many entries to look through quickly.
std::optional<std::vector<CorpusFile>> glance_at_corpus(const CorpusOptions& options,
                                                        std::size_t n_enough);

// Throws what list_corpus would, but searches a directory only until its first file.
void check_corpus(const CorpusOptions& options);

// The file at `path` as list_corpus would give it; nothing where its ending is none of a corpus.
std::optional<CorpusFile> corpus_file_at(const std::string& path);

// Words as Python's str.split() counts them: runs of non-white-space, Unicode white space included.
std::uint64_t count_words(std::string_view utf8);

}  // namespace tovamill
