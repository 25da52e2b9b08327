// Reads little-endian values from a file's bytes, front to back, never past the end.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <string>
#include <string_view>

#include "io/files/mapped_file.h"
#include "kernels/types/error.h"
#include "kernels/types/format.h"

namespace tovamill {

class ByteCursor {
 public:
  explicit ByteCursor(const MappedFile& file) : file_(file) {}

  std::size_t position() const { return position_; }
  std::size_t remaining() const { return file_.bytes().size() - position_; }

  // Throws BadData "FILE: byte N: problem", where N is the start of what was read last.
  [[noreturn]] void fail(const std::string& problem) const {
    throw BadData(file_.path() + ": byte " + std::to_string(last_) + ": " + problem);
  }

  // `what` names the value in messages.
  template <typename T>
  T read(std::string_view what) {
    T value;
    std::memcpy(&value, take(sizeof(T), what), sizeof(T));
    return value;
  }

  // A u64 length and that many bytes, as a view of the file.
  std::string_view read_string(std::string_view what) {
    const auto length = read<std::uint64_t>(what);
    if (length > remaining()) {
      fail(std::string(what) + " claims " + with_thousands(length) + " bytes, but only " +
           with_thousands(remaining()) + " are left: the file is truncated or broken");
    }
    const std::size_t start = last_;
    const std::byte* bytes = take(static_cast<std::size_t>(length), what);
    last_ = start;
    return {reinterpret_cast<const char*>(bytes), static_cast<std::size_t>(length)};
  }

  // A u64 count of elements of at least `min_bytes` each, checked against what is left.
  std::uint64_t read_count(std::string_view what, std::size_t min_bytes, std::uint64_t max) {
    const auto count = read<std::uint64_t>(what);
    if (count > max) {
      fail(std::string(what) + " is " + with_thousands(count) + ", over the limit of " +
           with_thousands(max));
    }
    if (count > remaining() / min_bytes) {
      fail(std::string(what) + " is " + with_thousands(count) +
           ", more than the rest of the file can hold: it is truncated or broken");
    }
    return count;
  }

 private:
  const std::byte* take(std::size_t n_bytes, std::string_view what) {
    last_ = position_;
    if (n_bytes > remaining()) fail("the file ends inside " + std::string(what));
    const std::byte* bytes = file_.bytes().data() + position_;
    position_ += n_bytes;
    return bytes;
  }

  const MappedFile& file_;
  std::size_t position_ = 0;
  std::size_t last_ = 0;
};

}  // namespace tovamill
