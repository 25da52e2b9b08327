#include "engine/text/python_text.h"

#include <utf8proc.h>

#include <algorithm>
#include <iterator>

#include "engine/text/unicode_classes.h"
#include "engine/text/utf8.h"

namespace tovamill {
namespace {

constexpr char32_t kCapitalSigma = 0x3a3, kSigma = 0x3c3, kFinalSigma = 0x3c2;
constexpr char32_t kDottedI = 0x130, kDotAbove = 0x307;

auto category(char32_t c) { return utf8proc_category(static_cast<utf8proc_int32_t>(c)); }

bool is_in(std::span<const CodePointRange> ranges, char32_t c) {
  return std::ranges::any_of(
      ranges, [c](const auto& range) { return c >= range.first && c <= range.last; });
}

// Unicode's Case_Ignorable: marks, formats, modifiers, and what stands inside words.
bool is_case_ignorable(char32_t c) {
  static constexpr CodePointRange kInsideWords[] = {
      {'\'', '\''},     {'.', '.'},       {':', ':'},       {0xb7, 0xb7},
      {0x387, 0x387},   {0x55f, 0x55f},   {0x5f4, 0x5f4},   {0x2018, 0x2019},
      {0x2024, 0x2024}, {0x2027, 0x2027}, {0xfe13, 0xfe13}, {0xfe52, 0xfe52},
      {0xfe55, 0xfe55}, {0xff07, 0xff07}, {0xff0e, 0xff0e}, {0xff1a, 0xff1a},
  };
  switch (category(c)) {
    case UTF8PROC_CATEGORY_MN:
    case UTF8PROC_CATEGORY_ME:
    case UTF8PROC_CATEGORY_CF:
    case UTF8PROC_CATEGORY_LM:
    case UTF8PROC_CATEGORY_SK:
      return true;
    default:
      return is_in(kInsideWords, c);
  }
}

// Unicode's Cased, of characters that are not Case_Ignorable: letters with a case, and ordinals,
// Roman numerals, letters in circles and squares.
bool is_cased(char32_t c) {
  static constexpr CodePointRange kOthers[] = {
      {0xaa, 0xaa},       {0xba, 0xba},       {0x2160, 0x217f},   {0x24b6, 0x24e9},
      {0x1f130, 0x1f149}, {0x1f150, 0x1f169}, {0x1f170, 0x1f189},
  };
  const auto kind = category(c);
  return kind == UTF8PROC_CATEGORY_LU || kind == UTF8PROC_CATEGORY_LL ||
         kind == UTF8PROC_CATEGORY_LT || is_in(kOthers, c);
}

// Final_Sigma of Unicode's SpecialCasing: a letter with a case before it and none behind it,
// whatever is case-ignorable passed over.
bool is_final_sigma(std::u32string_view text, std::size_t at) {
  const auto before = text.substr(0, at), behind = text.substr(at + 1);
  const auto last = std::find_if_not(before.rbegin(), before.rend(), is_case_ignorable);
  const auto next = std::find_if_not(behind.begin(), behind.end(), is_case_ignorable);
  return last != before.rend() && is_cased(*last) && (next == behind.end() || !is_cased(*next));
}

}  // namespace

std::u32string to_code_points(std::string_view utf8) {
  std::u32string out;
  out.reserve(utf8.size());
  for (std::size_t at = 0; at < utf8.size();) {
    const auto [c, length] = decode_utf8(utf8, at);
    out += c;
    at += length;
  }
  return out;
}

std::string to_utf8(std::u32string_view text) {
  std::string out;
  out.reserve(text.size());
  for (const char32_t c : text) append_utf8(out, c);
  return out;
}

std::u32string python_lower(std::u32string_view text) {
  std::u32string out;
  out.reserve(text.size());
  for (std::size_t i = 0; i < text.size(); ++i) {
    const char32_t c = text[i];
    if (c < 0x80) {
      out += c >= 'A' && c <= 'Z' ? c - 'A' + 'a' : c;
    } else if (c == kCapitalSigma) {
      out += is_final_sigma(text, i) ? kFinalSigma : kSigma;
    } else if (c == kDottedI) {
      out += U'i';
      out += kDotAbove;
    } else {
      out += static_cast<char32_t>(utf8proc_tolower(static_cast<utf8proc_int32_t>(c)));
    }
  }
  return out;
}

bool is_python_space(char32_t c) {
  return (c >= 0x9 && c <= 0xd) || (c >= 0x1c && c <= 0x20) || c == 0x85 || c == 0xa0 ||
         c == 0x1680 || (c >= 0x2000 && c <= 0x200a) || c == 0x2028 || c == 0x2029 || c == 0x202f ||
         c == 0x205f || c == 0x3000;
}

std::vector<std::u32string> python_split(std::u32string_view text) {
  std::vector<std::u32string> out;
  for (auto at = text.begin();;) {
    const auto begin = std::find_if_not(at, text.end(), is_python_space);
    if (begin == text.end()) return out;
    at = std::find_if(begin, text.end(), is_python_space);
    out.emplace_back(begin, at);
  }
}

bool is_python_word_character(char32_t c) {
  if (c < 0x80)
    return (c >= '0' && c <= '9') || (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') || c == '_';
  switch (category(c)) {
    case UTF8PROC_CATEGORY_LU:
    case UTF8PROC_CATEGORY_LL:
    case UTF8PROC_CATEGORY_LT:
    case UTF8PROC_CATEGORY_LM:
    case UTF8PROC_CATEGORY_LO:
    case UTF8PROC_CATEGORY_ND:
    case UTF8PROC_CATEGORY_NL:
    case UTF8PROC_CATEGORY_NO:
      return true;
    default:
      return false;
  }
}

}  // namespace tovamill
