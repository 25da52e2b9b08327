// The number of lines in a range of a corpus file. It numbers the records of a run that did not
// read all of the file.
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

  // Newlines in bytes [begin, end) of the decompressed file, in constant memory; nothing if the
  // file cannot be read up to `end`. Fast if the ranges ascend.
  std::optional<std::uint64_t> count(std::uint64_t begin, std::uint64_t end);

 private:
  std::optional<CorpusFile> file_;
  std::unique_ptr<FileWindow> window_;
  std::uint64_t unreadable_from_ = kToTheEnd;  // not tried again
};

}  // namespace tovamill
