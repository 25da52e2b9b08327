// Numbers in byte strings, little-endian on every machine: fixed width, and LEB128 for counts that
// are mostly small.
#pragma once

#include <bit>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <span>
#include <string>
#include <string_view>
#include <type_traits>
#include <vector>

#include "kernels/types/error.h"

namespace tovamill {

static_assert(std::endian::native == std::endian::little,
              "the byte order of files is written for little-endian machines");

template <class T>
requires std::is_trivially_copyable_v<T> T load_little(const std::byte* from) {
  T value;
  std::memcpy(&value, from, sizeof value);
  return value;
}

class ByteWriter {
 public:
  template <class T>
  requires std::is_arithmetic_v<T>
  void fixed(T value) { append(&value, sizeof value); }
  void varint(std::uint64_t value) {
    for (; value >= 0x80; value >>= 7) bytes_.push_back(static_cast<std::byte>(value | 0x80));
    bytes_.push_back(static_cast<std::byte>(value));
  }
  void text(std::string_view s) {
    varint(s.size());
    append(s.data(), s.size());
  }
  void bytes(std::span<const std::byte> b) {
    varint(b.size());
    append(b.data(), b.size());
  }
  template <class T>
  requires std::is_arithmetic_v<T>
  void array(const std::vector<T>& values) {
    varint(values.size());
    append(values.data(), values.size() * sizeof(T));
  }
  std::vector<std::byte> take() { return std::move(bytes_); }

 private:
  void append(const void* from, std::size_t n) {
    const auto* b = static_cast<const std::byte*>(from);
    bytes_.insert(bytes_.end(), b, b + n);
  }
  std::vector<std::byte> bytes_;
};

// Reads what ByteWriter wrote. Every length is checked before anything is allocated; throws BadData
// naming `where`.
class ByteReader {
 public:
  ByteReader(std::span<const std::byte> bytes, const std::string& where)
      : rest_(bytes), where_(where) {}

  template <class T>
  requires std::is_arithmetic_v<T> T fixed() { return load_little<T>(take(sizeof(T)).data()); }
  std::uint64_t varint() {
    std::uint64_t value = 0;
    for (int shift = 0; shift < 64; shift += 7) {
      const auto b = std::to_integer<std::uint64_t>(take(1)[0]);
      if (shift == 63 && b > 1) break;
      value |= (b & 0x7f) << shift;
      if (b < 0x80) return value;
    }
    fail("a number is too long");
  }
  // A count of elements of at least `least_bytes` each.
  std::size_t count(std::size_t least_bytes) {
    const std::uint64_t n = varint();
    if (n > rest_.size() / least_bytes) fail("a length exceeds the record");
    return static_cast<std::size_t>(n);
  }
  std::string text() {
    const auto bytes = take(count(1));
    return std::string(reinterpret_cast<const char*>(bytes.data()), bytes.size());
  }
  // A view of what ByteWriter::bytes wrote.
  std::span<const std::byte> bytes() { return take(count(1)); }
  // A view of all remaining bytes.
  std::span<const std::byte> rest() { return take(rest_.size()); }
  template <class T>
  requires std::is_arithmetic_v<T> std::vector<T> array() {
    std::vector<T> values(count(sizeof(T)));
    const auto bytes = take(values.size() * sizeof(T));
    if (!values.empty()) std::memcpy(values.data(), bytes.data(), bytes.size());
    return values;
  }
  void expect_end() {
    if (!rest_.empty()) fail("bytes are left over");
  }
  [[noreturn]] void fail(const std::string& what) const {
    throw BadData(where_ + ": " + what + ": the file is damaged or of another program version");
  }

 private:
  std::span<const std::byte> take(std::size_t n) {
    if (n > rest_.size()) fail("the record ends early");
    const auto front = rest_.first(n);
    rest_ = rest_.subspan(n);
    return front;
  }
  std::span<const std::byte> rest_;
  std::string where_;
};

}  // namespace tovamill
