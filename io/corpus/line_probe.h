// Lines at any offset of a large plain file, without reading the bytes before.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "io/files/file_descriptor.h"

namespace tovamill {

class LineProbe {
 public:
  // A longer line is cut: a sample has no use for all of it.
  static constexpr std::size_t kLongestLine = 16u << 20;

  explicit LineProbe(const std::string& path);
  bool ok() const { return file_.get() >= 0; }  // the file could be opened

  // Moves to the start of the file, behind a byte order mark.
  void rewind();
  // Moves behind the next line ending at or after `offset`; for 0 to the start of the file.
  // False where there is none, or none within kLongestLine.
  bool seek_behind_line(std::uint64_t offset);
  // Moves to the first byte of the line that holds `offset`. False where that begins more than
  // kLongestLine before, or the file cannot be read.
  bool seek_line_around(std::uint64_t offset);
  std::uint64_t position() const { return position_ + begin_; }  // of the next byte
  // The line here without its ending, at most kLongestLine of it. False at the end, or where the
  // file cannot be read on.
  bool next(std::string& line);
  std::uint64_t n_line_bytes() const {
    return n_line_bytes_;
  }  // of the last `next`, with its ending
  bool is_cut() const { return is_cut_; }

 private:
  bool refill();

  FileDescriptor file_;
  std::vector<char> buffer_;
  std::uint64_t position_ = 0;  // of the buffer's begin in the file
  std::size_t begin_ = 0, end_ = 0;
  std::uint64_t n_line_bytes_ = 0;
  bool is_cut_ = false;
};

// Bytes [offset, offset + n) of a file, fewer at its end; nothing where it cannot be read.
std::optional<std::string> read_range(const std::string& path, std::uint64_t offset,
                                      std::uint64_t n);

}  // namespace tovamill
