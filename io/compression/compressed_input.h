// A window of a compressed file's bytes: what every decompressor reads from.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "io/compression/byte_stream.h"

namespace tovamill {

class CompressedInput {
 public:
  // Throws StreamError if the file cannot be opened.
  explicit CompressedInput(const std::string& path);

  // False at the end of the file. Throws as ByteStream::read does.
  bool refill();
  std::span<char> rest() { return std::span(bytes_).subspan(begin_, end_ - begin_); }
  void consume(std::size_t n) { begin_ += n; }
  bool empty() const { return begin_ == end_; }
  std::uint64_t n_bytes_taken() const { return file_->n_bytes_taken() - (end_ - begin_); }

 private:
  static constexpr std::size_t kInputBytes = 1u << 18;

  std::unique_ptr<ByteStream> file_;
  std::vector<char> bytes_;
  std::size_t begin_ = 0, end_ = 0;
};

}  // namespace tovamill
