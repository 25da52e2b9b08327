// The bytes of one record at a time, taken from a file's window: what readers of texts and of lines
// share.
#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include "io/corpus/corpus.h"
#include "io/corpus/file_window.h"

namespace tovamill {

class RecordBytes {
 public:
  enum class Keep : std::uint8_t { bytes, nothing };

  // Keeps at most max_record_bytes + 1 bytes of a record.
  RecordBytes(const CorpusFile& file, const CorpusOptions& options);

  struct Stretch {
    std::uint64_t n_bytes = 0;  // `stop` not counted
    bool ended = false;         // by `stop`
    bool blank = true;
    char last = 0;  // byte
  };
  // The bytes up to `stop`, or to the end of the file.
  Stretch read_until(std::optional<char> stop, Keep keep);

  FileWindow& window() { return window_; }
  const FileWindow& window() const { return window_; }
  std::string& text() { return text_; }  // that was kept of the record
  bool is_too_large(std::uint64_t n_bytes) const { return n_bytes > max_bytes_; }

  // Each makes the record a failed one.
  void fail_too_large(CorpusRecord& record) const;
  void fail_broken(CorpusRecord& record) const;

 private:
  FileWindow window_;
  std::uint64_t max_bytes_;
  bool is_compressed_;
  std::string text_;
};

// Makes the record a failed one without a text.
void fail_record(CorpusRecord& record, const std::string& reason, const std::string& explanation);

}  // namespace tovamill
