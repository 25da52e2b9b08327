// UTF-8 by hand: where a loop over every character of a corpus cannot afford a call.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace tovamill {

// The length in bytes of the character whose first byte is `lead`; 1 for a byte that cannot be
// first.
inline std::size_t utf8_length(char lead) {
  const auto byte = static_cast<std::uint8_t>(lead);
  if (byte < 0xc2) return 1;
  return byte < 0xe0 ? 2 : byte < 0xf0 ? 3 : byte < 0xf5 ? 4 : 1;
}

struct CodePoint {
  char32_t value = 0;
  std::size_t length = 0;  // bytes; 0 past the end
};

// The character at `at`. Never reads past the end; what is not UTF-8 is given byte by byte.
inline CodePoint decode_utf8(std::string_view text, std::size_t at) {
  if (at >= text.size()) return {};
  const auto byte = [&](std::size_t i) {
    return static_cast<char32_t>(static_cast<std::uint8_t>(text[at + i]));
  };
  const std::size_t length = utf8_length(text[at]);
  if (length == 1 || at + length > text.size()) return {byte(0), 1};
  if (length == 2) return {(byte(0) & 0x1f) << 6 | (byte(1) & 0x3f), 2};
  if (length == 3) return {(byte(0) & 0xf) << 12 | (byte(1) & 0x3f) << 6 | (byte(2) & 0x3f), 3};
  return {(byte(0) & 0x7) << 18 | (byte(1) & 0x3f) << 12 | (byte(2) & 0x3f) << 6 | (byte(3) & 0x3f),
          4};
}

// The start of the character that ends before `end` (> 0).
inline std::size_t previous_utf8(std::string_view text, std::size_t end) {
  std::size_t at = end - 1;
  while (at > 0 && end - at < 4 && (static_cast<std::uint8_t>(text[at]) & 0xc0) == 0x80) --at;
  return at;
}

inline void append_utf8(std::string& out, char32_t c) {
  const auto put = [&](char32_t byte) { out.push_back(static_cast<char>(byte)); };
  if (c < 0x80) return put(c);
  if (c < 0x800) {
    put(0xc0 | c >> 6);
  } else {
    if (c < 0x10000) {
      put(0xe0 | c >> 12);
    } else {
      put(0xf0 | c >> 18);
      put(0x80 | (c >> 12 & 0x3f));
    }
    put(0x80 | (c >> 6 & 0x3f));
  }
  put(0x80 | (c & 0x3f));
}

// The first byte that is not UTF-8 (RFC 3629: no overlong forms, no surrogates, nothing above
// U+10FFFF).
inline std::optional<std::size_t> find_invalid_utf8(std::string_view text) {
  for (std::size_t at = 0; at < text.size();) {
    if (static_cast<std::uint8_t>(text[at]) < 0x80) {
      ++at;
      continue;
    }
    const std::size_t length = utf8_length(text[at]);
    if (length == 1 || at + length > text.size()) return at;
    for (std::size_t i = 1; i < length; ++i) {
      if ((static_cast<std::uint8_t>(text[at + i]) & 0xc0) != 0x80) return at;
    }
    const char32_t c = decode_utf8(text, at).value;
    if (c > 0x10ffff || (c >= 0xd800 && c < 0xe000)) return at;
    if ((length == 3 && c < 0x800) || (length == 4 && c < 0x10000)) return at;
    at += length;
  }
  return std::nullopt;
}

}  // namespace tovamill
