// Documents of a corpus: directories, globs and files of .txt (one document each) and .jsonl (a
// record per line), both also .gz and .zst, one after another in constant memory.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

namespace tovamill {

struct CorpusFile {
  std::string path;           // absolute, lexically normal
  std::uint64_t n_bytes = 0;  // on disk
  enum class Kind : std::uint8_t { text, jsonl } kind = Kind::text;
  enum class Compression : std::uint8_t { none, gzip, zstd } compression = Compression::none;
};

struct CorpusOptions {
  std::vector<std::string> paths;  // files, directories (searched below), globs
  std::string glob;                // only files whose name matches; empty is every known ending
  std::string text_key = "text";
  std::string id_key = "id";
  std::uint64_t max_record_bytes = 1u << 30;  // of decompressed text
};

// A document, or a record that could not be read as one. Exactly one of `text` and `failure`
// counts.
struct CorpusRecord {
  std::string file;        // CorpusFile::path
  std::uint64_t line = 0;  // 1-based in .jsonl; 0 in .txt
  std::uint64_t offset =
      0;  // byte offset of the record in the (decompressed) file, behind a byte order mark
  std::uint64_t n_bytes = 0;  // of the record in the (decompressed) file, without its line ending
  std::string
      id;  // id_key (a string, or a number as written), else <file name> or <file name>:<line>
  std::string text;  // valid UTF-8, not empty
  std::string
      failure_reason;  // empty, or a stable code: "invalid-json", "missing-key", "not-a-string",
                       // "invalid-utf8", "empty", "too-large", "truncated", "unreadable"
  std::string failure_text;  // one line for people

  bool ok() const { return failure_reason.empty(); }
};

// The corpus files in path order (bytewise), each file once however many names, links or paths lead
// to it. Endings match in any case. Directories are searched in depth; hidden entries are passed
// over. The order of `paths` has no influence. Throws Error(no_input) naming a path that does not
// exist or matches nothing; a file of an unknown ending named outright is an Error(usage) with the
// known endings.
std::vector<CorpusFile> list_corpus(const CorpusOptions& options);

// Reads one file's records in order; one at a time, holding no more than one record (of a record
// over max_record_bytes, no more than that). A file that breaks off (a damaged .gz) or cannot be
// opened yields one failed record at that place and ends. In .jsonl, lines that are empty or all
// white space separate records; of doubled keys the last one counts.
class CorpusReader {
 public:
  CorpusReader(const CorpusFile& file, const CorpusOptions& options);
  ~CorpusReader();
  CorpusReader(CorpusReader&&) noexcept;
  CorpusReader& operator=(CorpusReader&&) noexcept;

  // False at the end of the file.
  bool next(CorpusRecord& record);

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

// Words as Python's str.split() counts them: runs of non-white-space, Unicode white space included.
std::uint64_t count_words(std::string_view utf8);

}  // namespace tovamill
