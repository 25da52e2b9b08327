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

// Characters with several as their upper case (Unicode's SpecialCasing), ascending.
struct LongUpper {
  char32_t lower;
  const char32_t* upper;
};
constexpr LongUpper kLongUppers[] = {{0xdf, U"SS"},
                                     {0x149, U"\u02bcN"},
                                     {0x1f0, U"J\u030c"},
                                     {0x390, U"\u0399\u0308\u0301"},
                                     {0x3b0, U"\u03a5\u0308\u0301"},
                                     {0x587, U"\u0535\u0552"},
                                     {0x1e96, U"H\u0331"},
                                     {0x1e97, U"T\u0308"},
                                     {0x1e98, U"W\u030a"},
                                     {0x1e99, U"Y\u030a"},
                                     {0x1e9a, U"A\u02be"},
                                     {0x1f50, U"\u03a5\u0313"},
                                     {0x1f52, U"\u03a5\u0313\u0300"},
                                     {0x1f54, U"\u03a5\u0313\u0301"},
                                     {0x1f56, U"\u03a5\u0313\u0342"},
                                     {0x1f80, U"\u1f08\u0399"},
                                     {0x1f81, U"\u1f09\u0399"},
                                     {0x1f82, U"\u1f0a\u0399"},
                                     {0x1f83, U"\u1f0b\u0399"},
                                     {0x1f84, U"\u1f0c\u0399"},
                                     {0x1f85, U"\u1f0d\u0399"},
                                     {0x1f86, U"\u1f0e\u0399"},
                                     {0x1f87, U"\u1f0f\u0399"},
                                     {0x1f88, U"\u1f08\u0399"},
                                     {0x1f89, U"\u1f09\u0399"},
                                     {0x1f8a, U"\u1f0a\u0399"},
                                     {0x1f8b, U"\u1f0b\u0399"},
                                     {0x1f8c, U"\u1f0c\u0399"},
                                     {0x1f8d, U"\u1f0d\u0399"},
                                     {0x1f8e, U"\u1f0e\u0399"},
                                     {0x1f8f, U"\u1f0f\u0399"},
                                     {0x1f90, U"\u1f28\u0399"},
                                     {0x1f91, U"\u1f29\u0399"},
                                     {0x1f92, U"\u1f2a\u0399"},
                                     {0x1f93, U"\u1f2b\u0399"},
                                     {0x1f94, U"\u1f2c\u0399"},
                                     {0x1f95, U"\u1f2d\u0399"},
                                     {0x1f96, U"\u1f2e\u0399"},
                                     {0x1f97, U"\u1f2f\u0399"},
                                     {0x1f98, U"\u1f28\u0399"},
                                     {0x1f99, U"\u1f29\u0399"},
                                     {0x1f9a, U"\u1f2a\u0399"},
                                     {0x1f9b, U"\u1f2b\u0399"},
                                     {0x1f9c, U"\u1f2c\u0399"},
                                     {0x1f9d, U"\u1f2d\u0399"},
                                     {0x1f9e, U"\u1f2e\u0399"},
                                     {0x1f9f, U"\u1f2f\u0399"},
                                     {0x1fa0, U"\u1f68\u0399"},
                                     {0x1fa1, U"\u1f69\u0399"},
                                     {0x1fa2, U"\u1f6a\u0399"},
                                     {0x1fa3, U"\u1f6b\u0399"},
                                     {0x1fa4, U"\u1f6c\u0399"},
                                     {0x1fa5, U"\u1f6d\u0399"},
                                     {0x1fa6, U"\u1f6e\u0399"},
                                     {0x1fa7, U"\u1f6f\u0399"},
                                     {0x1fa8, U"\u1f68\u0399"},
                                     {0x1fa9, U"\u1f69\u0399"},
                                     {0x1faa, U"\u1f6a\u0399"},
                                     {0x1fab, U"\u1f6b\u0399"},
                                     {0x1fac, U"\u1f6c\u0399"},
                                     {0x1fad, U"\u1f6d\u0399"},
                                     {0x1fae, U"\u1f6e\u0399"},
                                     {0x1faf, U"\u1f6f\u0399"},
                                     {0x1fb2, U"\u1fba\u0399"},
                                     {0x1fb3, U"\u0391\u0399"},
                                     {0x1fb4, U"\u0386\u0399"},
                                     {0x1fb6, U"\u0391\u0342"},
                                     {0x1fb7, U"\u0391\u0342\u0399"},
                                     {0x1fbc, U"\u0391\u0399"},
                                     {0x1fc2, U"\u1fca\u0399"},
                                     {0x1fc3, U"\u0397\u0399"},
                                     {0x1fc4, U"\u0389\u0399"},
                                     {0x1fc6, U"\u0397\u0342"},
                                     {0x1fc7, U"\u0397\u0342\u0399"},
                                     {0x1fcc, U"\u0397\u0399"},
                                     {0x1fd2, U"\u0399\u0308\u0300"},
                                     {0x1fd3, U"\u0399\u0308\u0301"},
                                     {0x1fd6, U"\u0399\u0342"},
                                     {0x1fd7, U"\u0399\u0308\u0342"},
                                     {0x1fe2, U"\u03a5\u0308\u0300"},
                                     {0x1fe3, U"\u03a5\u0308\u0301"},
                                     {0x1fe4, U"\u03a1\u0313"},
                                     {0x1fe6, U"\u03a5\u0342"},
                                     {0x1fe7, U"\u03a5\u0308\u0342"},
                                     {0x1ff2, U"\u1ffa\u0399"},
                                     {0x1ff3, U"\u03a9\u0399"},
                                     {0x1ff4, U"\u038f\u0399"},
                                     {0x1ff6, U"\u03a9\u0342"},
                                     {0x1ff7, U"\u03a9\u0342\u0399"},
                                     {0x1ffc, U"\u03a9\u0399"},
                                     {0xfb00, U"FF"},
                                     {0xfb01, U"FI"},
                                     {0xfb02, U"FL"},
                                     {0xfb03, U"FFI"},
                                     {0xfb04, U"FFL"},
                                     {0xfb05, U"ST"},
                                     {0xfb06, U"ST"},
                                     {0xfb13, U"\u0544\u0546"},
                                     {0xfb14, U"\u0544\u0535"},
                                     {0xfb15, U"\u0544\u053b"},
                                     {0xfb16, U"\u054e\u0546"},
                                     {0xfb17, U"\u0544\u053d"}};

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

std::u32string python_upper(char32_t c) {
  if (c < 0x80) return {c >= 'a' && c <= 'z' ? c - 'a' + 'A' : c};
  const auto* found = std::lower_bound(std::begin(kLongUppers), std::end(kLongUppers), c,
                                       [](const LongUpper& e, char32_t v) { return e.lower < v; });
  if (found != std::end(kLongUppers) && found->lower == c) return found->upper;
  return {static_cast<char32_t>(utf8proc_toupper(static_cast<utf8proc_int32_t>(c)))};
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
