#include "engine/text/charsmap.h"

#include <utf8proc.h>

#include <algorithm>
#include <array>
#include <bit>
#include <cstring>

#include "engine/text/unicode_classes.h"
#include "engine/text/utf8.h"
#include "kernels/types/error.h"

namespace tovamill {
namespace {

static_assert(std::endian::native == std::endian::little, "model files are little-endian");

constexpr std::size_t kLongGrapheme = 6;  // bytes; from here on characters are looked up alone

// The fields of a unit.
std::uint32_t offset_of(std::uint32_t unit) { return unit >> 10 << ((unit & (1u << 9)) >> 6); }
std::uint32_t label_of(std::uint32_t unit) { return unit & (1u << 31 | 0xff); }
bool has_leaf(std::uint32_t unit) { return (unit >> 8 & 1) != 0; }
std::uint32_t value_of(std::uint32_t unit) { return unit & ~(1u << 31); }

// Marks of Unicode 16 and 17, which `tokenizers` knows and the installed library may not.
constexpr CodePointRange kNewerExtending[] = {
    {0x897, 0x897},     {0x1acf, 0x1add},   {0x1ae0, 0x1aeb},   {0x10d69, 0x10d6d},
    {0x10efa, 0x10efc}, {0x113b8, 0x113c0}, {0x113c2, 0x113c2}, {0x113c5, 0x113c5},
    {0x113c7, 0x113ca}, {0x113cc, 0x113d0}, {0x113d2, 0x113d2}, {0x113e1, 0x113e2},
    {0x11b60, 0x11b67}, {0x11f5a, 0x11f5a}, {0x1611e, 0x1612f}, {0x1e5ee, 0x1e5ef},
    {0x1e6e3, 0x1e6e3}, {0x1e6e6, 0x1e6e6}, {0x1e6ee, 0x1e6ef}, {0x1e6f5, 0x1e6f5},
};

// `c`, or a character of all versions that joins as a newer one does.
utf8proc_int32_t known_to_library(char32_t c) {
  if (c == 0x113d1) return 0x600;  // both stay with what follows
  if (c == 0x11a3a) return 'a';    // it no longer does
  const auto after = std::ranges::upper_bound(kNewerExtending, c, {}, &CodePointRange::first);
  const bool is_newer = after != std::begin(kNewerExtending) && c <= (after - 1)->last;
  return is_newer ? 0x301 : static_cast<utf8proc_int32_t>(c);
}

// The end of the grapheme cluster that begins at `at`.
std::size_t grapheme_end(std::string_view text, std::size_t at) {
  utf8proc_int32_t state = 0;
  auto before = decode_utf8(text, at);
  at += before.length;
  while (at < text.size()) {
    const auto next = decode_utf8(text, at);
    if (before.value < 0x80 && next.value < 0x80 && before.value != '\r') break;
    if (utf8proc_grapheme_break_stateful(known_to_library(before.value),
                                         known_to_library(next.value), &state))
      break;
    before = next;
    at += next.length;
  }
  return at;
}

}  // namespace

Charsmap::Charsmap(std::string_view bytes, const std::string& where) : where_(where) {
  std::uint32_t n_bytes = 0;
  if (bytes.size() >= sizeof n_bytes) std::memcpy(&n_bytes, bytes.data(), sizeof n_bytes);
  if (bytes.size() < sizeof n_bytes || n_bytes > bytes.size() - sizeof n_bytes || n_bytes < 4)
    throw BadData(where + ": the precompiled_charsmap is cut short or empty");
  bytes.remove_prefix(sizeof n_bytes);
  units_.resize(n_bytes / sizeof(std::uint32_t));
  std::memcpy(units_.data(), bytes.data(), units_.size() * sizeof(std::uint32_t));
  replacements_ = bytes.substr(units_.size() * sizeof(std::uint32_t));
  if (find_invalid_utf8(replacements_))
    throw BadData(where + ": the replacements of the precompiled_charsmap are not UTF-8");
}

std::uint32_t Charsmap::unit(std::uint32_t at) const {
  if (at >= units_.size())
    throw BadData(where_ + ": the array of the precompiled_charsmap leads out of itself");
  return units_[at];
}

std::optional<std::string_view> Charsmap::find(std::string_view text) const {
  std::uint32_t node = offset_of(unit(0));
  for (const char c : text) {
    const auto byte = static_cast<std::uint8_t>(c);
    if (byte == 0) break;
    node ^= byte;
    const std::uint32_t here = unit(node);
    if (label_of(here) != byte) break;
    node ^= offset_of(here);
    if (!has_leaf(here)) continue;
    const std::size_t begin = value_of(unit(node));
    if (begin > replacements_.size())
      throw BadData(where_ + ": a replacement of the precompiled_charsmap is missing");
    const std::size_t end = std::min(replacements_.find('\0', begin), replacements_.size());
    return std::string_view(replacements_).substr(begin, end - begin);
  }
  return std::nullopt;
}

std::string Charsmap::operator()(std::string_view text) const {
  std::string out;
  out.reserve(text.size());
  for (std::size_t at = 0; at < text.size();) {
    const std::size_t end = grapheme_end(text, at);
    const auto whole = end - at < kLongGrapheme ? find(text.substr(at, end - at)) : std::nullopt;
    if (whole) {
      out += *whole;
      at = end;
    }
    while (at < end) {
      const std::string_view character = text.substr(at, decode_utf8(text, at).length);
      out += find(character).value_or(character);
      at += character.size();
    }
  }
  return out;
}

std::optional<std::string> from_base64(std::string_view text) {
  constexpr std::string_view kDigits =
      "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
  if (text.size() % 4 != 0) return std::nullopt;
  std::array<std::uint8_t, 256> values{};
  values.fill(64);
  for (std::size_t i = 0; i < kDigits.size(); ++i)
    values[static_cast<std::uint8_t>(kDigits[i])] = static_cast<std::uint8_t>(i);
  const std::size_t n_padding = text.ends_with("==") ? 2 : text.ends_with('=') ? 1 : 0;
  text.remove_suffix(n_padding);
  std::string out;
  out.reserve(text.size() / 4 * 3 + 2);
  std::uint32_t bits = 0;
  int n_bits = 0;
  for (const char c : text) {
    const std::uint32_t value = values[static_cast<std::uint8_t>(c)];
    if (value == 64) return std::nullopt;
    bits = (bits << 6 | value) & 0xffffff;
    n_bits += 6;
    if (n_bits < 8) continue;
    n_bits -= 8;
    out += static_cast<char>(bits >> n_bits & 0xff);
  }
  return out;
}

}  // namespace tovamill
