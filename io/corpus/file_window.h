// The decompressed bytes of a corpus file through a buffer: forward only, in constant memory.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <string_view>
#include <vector>

#include "io/compression/byte_stream.h"
#include "io/corpus/corpus.h"

namespace tovamill {

class FileWindow {
 public:
  // Never throws for what is wrong with the file: see `broken`.
  explicit FileWindow(const CorpusFile& file);

  // The next unread bytes, some at least; empty at the end of the file or where it breaks off.
  std::string_view bytes();
  void consume(std::size_t n) { begin_ += n; }
  // Offset of the next unread byte.
  std::uint64_t here() const { return position_ + begin_; }
  // Skips the bytes before `offset`: plain files by seeking, compressed ones by reading. Stops
  // early at the end of a compressed file or where the file breaks off. Does nothing if `offset`
  // lies behind.
  void go_to(std::uint64_t offset);
  // At the start of the file: skips a UTF-8 byte order mark.
  void skip_byte_order_mark();
  // Why the file cannot be read on, if so. What could be read before was delivered first.
  const std::optional<StreamError>& broken() const { return broken_; }

 private:
  void refill();
  template <class Act>
  void guarded(Act act);

  std::unique_ptr<ByteStream> stream_;  // null at the end of the file
  std::optional<StreamError> broken_;
  std::vector<char> buffer_;
  std::size_t begin_ = 0, end_ = 0;  // of the unread bytes in buffer_
  std::uint64_t position_ = 0;       // of buffer_[0] in the file
};

}  // namespace tovamill
