// Word counts as Python's str.split() gives them.
#include <cstdint>
#include <string_view>

#include "io/corpus/corpus.h"

namespace tovamill {
namespace {

constexpr bool is_ascii_space(unsigned char c) {
  return (c >= 0x09 && c <= 0x0d) || (c >= 0x1c && c <= 0x20);
}

// The white space of Python's str.isspace() beyond ASCII.
constexpr bool is_wide_space(std::uint32_t c) {
  return c == 0x85 || c == 0xa0 || c == 0x1680 || (c >= 0x2000 && c <= 0x200a) || c == 0x2028 ||
         c == 0x2029 || c == 0x202f || c == 0x205f || c == 0x3000;
}

}  // namespace

std::uint64_t count_words(std::string_view utf8) {
  std::uint64_t n = 0;
  bool in_word = false;
  for (std::size_t i = 0; i < utf8.size();) {
    const auto byte = [&](std::size_t j) -> std::uint32_t {
      return i + j < utf8.size() ? static_cast<unsigned char>(utf8[i + j]) : 0u;
    };
    const std::uint32_t b = byte(0);
    bool space = false;
    if (b < 0x80) {
      space = is_ascii_space(static_cast<unsigned char>(b));
      i += 1;
    } else if (b < 0xe0) {  // no white space has four bytes
      space = is_wide_space((b & 0x1f) << 6 | (byte(1) & 0x3f));
      i += 2;
    } else if (b < 0xf0) {
      space = is_wide_space((b & 0x0f) << 12 | (byte(1) & 0x3f) << 6 | (byte(2) & 0x3f));
      i += 3;
    } else {
      i += 4;
    }
    n += !space && !in_word;
    in_word = !space;
  }
  return n;
}

}  // namespace tovamill
