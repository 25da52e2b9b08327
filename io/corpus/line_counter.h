// How many lines lie in a stretch of a corpus file: what is needed to number the records of a run
// that did not read all of it.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>

#include "io/corpus/corpus.h"
#include "io/corpus/file_window.h"

namespace tovamill {

class LineCounter {
 public:
  explicit LineCounter(const std::string& path) : file_(corpus_file_at(path)) {}

  // Newlines in [begin, end) of the decompressed file, in constant memory; nothing where the file
  // cannot be read up to `end` (any more). Fast where calls go forward.
  std::optional<std::uint64_t> count(std::uint64_t begin, std::uint64_t end);

 private:
  std::optional<CorpusFile> file_;
  std::unique_ptr<FileWindow> window_;
  std::uint64_t unreadable_from_ = kToTheEnd;  // not tried again
};

}  // namespace tovamill
