// Decomposition and composition are utf8proc's. Its own reordering of combining marks is quadratic
// in a run of marks, so the reordering is done here.
#include "engine/text/unicode_text.h"

#include <utf8proc.h>

#include <algorithm>
#include <cstdint>
#include <span>
#include <vector>

#include "engine/text/unicode_classes.h"
#include "engine/text/utf8.h"

namespace tovamill {
namespace {

// Below U+0300 every character is its own NFC form and no character combines with the one before
// it.
constexpr char32_t kFirstMark = 0x300;
constexpr std::uint8_t kFirstMarkLead = 0xcc;  // its first byte
constexpr int kMaxParts = 32;                  // of one character; 18 in Unicode 16

// Combining marks and composites newer than Unicode 9, which `tokenizers` does not know: neither
// reordered nor composed. And U+11A7, which utf8proc 2.8 takes for a trailing consonant of Hangul
// and drops.
constexpr CodePointRange kUnknown[] = {
    {0x7fd, 0x7fd},     {0x897, 0x89f},     {0x8ca, 0x8d3},     {0x9fe, 0x9fe},
    {0xc3c, 0xc3c},     {0xd3b, 0xd3c},     {0xeba, 0xeba},     {0x11a7, 0x11a7},
    {0x1715, 0x1715},   {0x1abf, 0x1aeb},   {0x1df6, 0x1dfa},   {0xa82c, 0xa82c},
    {0x105c0, 0x105ff}, {0x10d24, 0x10d27}, {0x10d69, 0x10d6d}, {0x10eab, 0x10eac},
    {0x10efa, 0x10eff}, {0x10f46, 0x10f50}, {0x10f82, 0x10f85}, {0x11070, 0x11070},
    {0x1133b, 0x1133b}, {0x11380, 0x113ff}, {0x1145e, 0x1145e}, {0x11839, 0x1183a},
    {0x11930, 0x11943}, {0x119e0, 0x119e0}, {0x11a34, 0x11a34}, {0x11a47, 0x11a47},
    {0x11a99, 0x11a99}, {0x11d42, 0x11d45}, {0x11d97, 0x11d97}, {0x11f41, 0x11f42},
    {0x16100, 0x1613f}, {0x16d40, 0x16d7f}, {0x16ff0, 0x16ff1}, {0x1e08f, 0x1e08f},
    {0x1e130, 0x1e136}, {0x1e2ae, 0x1e2ae}, {0x1e2ec, 0x1e2ef}, {0x1e4ec, 0x1e4ef},
    {0x1e5ee, 0x1e5ef}, {0x1e6e3, 0x1e6f5},
};

// Characters newer than Unicode 9 that are compositions for compatibility.
constexpr CodePointRange kUnknownCompatibility[] = {
    {0x32ff, 0x32ff},   {0xa7f1, 0xa7f4},   {0xab69, 0xab69},   {0x10781, 0x107ba},
    {0x1ccd6, 0x1ccf9}, {0x1e030, 0x1e06d}, {0x1f16c, 0x1f16c}, {0x1fbf0, 0x1fbf9},
};

// Marks of Unicode 16 that are not in Unicode 9; ranges that hold no mark of the latter.
constexpr CodePointRange kNewerMarks[] = {
    {0x7fd, 0x7fd},     {0x897, 0x8d3},     {0x9fe, 0x9fe},     {0xafa, 0xaff},
    {0xb55, 0xb55},     {0xc04, 0xc3c},     {0xcf3, 0xd00},     {0xd3b, 0xd3c},
    {0xd81, 0xd81},     {0xeba, 0xeba},     {0xece, 0xece},     {0x1715, 0x1715},
    {0x180f, 0x180f},   {0x1abf, 0x1ace},   {0x1cf7, 0x1cf7},   {0x1df6, 0x1dfa},
    {0xa82c, 0xa82c},   {0xa8ff, 0xa8ff},   {0x10d24, 0x10d27}, {0x10d69, 0x10d6d},
    {0x10eab, 0x10eac}, {0x10efc, 0x10eff}, {0x10f46, 0x10f85}, {0x11070, 0x11074},
    {0x110c2, 0x110c2}, {0x11145, 0x11146}, {0x111c9, 0x111c9}, {0x111ce, 0x111cf},
    {0x11241, 0x11241}, {0x1133b, 0x1133b}, {0x113b8, 0x113e2}, {0x1145e, 0x1145e},
    {0x1182c, 0x1183a}, {0x11930, 0x11943}, {0x119d1, 0x11a99}, {0x11d31, 0x11d47},
    {0x11d8a, 0x11d97}, {0x11ef3, 0x11f5a}, {0x13440, 0x13455}, {0x1611e, 0x1612f},
    {0x16f4f, 0x16f4f}, {0x16f7f, 0x16f87}, {0x16fe4, 0x16ff1}, {0x1cf00, 0x1cf46},
    {0x1e08f, 0x1e08f}, {0x1e130, 0x1e136}, {0x1e2ae, 0x1e2ef}, {0x1e4ec, 0x1e4ef},
    {0x1e5ee, 0x1e5ef},
};

// Capitals newer than the tables of older libraries: the first of a range, the last, and the small
// letter of the first.
struct NewerCapitals {
  char32_t first, last, small;
};

constexpr NewerCapitals kNewerCapitals[] = {
    {0x1c89, 0x1c89, 0x1c8a},    {0xa7cb, 0xa7cb, 0x264},  {0xa7cc, 0xa7cc, 0xa7cd},
    {0xa7ce, 0xa7ce, 0xa7cf},    {0xa7d2, 0xa7d2, 0xa7d3}, {0xa7d4, 0xa7d4, 0xa7d5},
    {0xa7da, 0xa7da, 0xa7db},    {0xa7dc, 0xa7dc, 0x19b},  {0x10d50, 0x10d65, 0x10d70},
    {0x16ea0, 0x16eb8, 0x16ebb},
};

char32_t lower_case_of(char32_t c) {
  if (c >= kNewerCapitals[0].first) {
    for (const auto& [first, last, small] : kNewerCapitals) {
      if (c >= first && c <= last) return small + (c - first);
    }
  }
  return static_cast<char32_t>(utf8proc_tolower(static_cast<utf8proc_int32_t>(c)));
}

// A starter and what may combine with it, decomposed.
class Segment {
 public:
  explicit Segment(NormalForm form)
      : composes_(form == NormalForm::c || form == NormalForm::kc),
        decompose_(static_cast<utf8proc_option_t>(
            UTF8PROC_STABLE | UTF8PROC_DECOMPOSE |
            (form == NormalForm::kc || form == NormalForm::kd ? UTF8PROC_COMPAT : 0))) {}

  void append(char32_t c) {
    utf8proc_int32_t parts[kMaxParts];
    int boundary = 0;
    const auto n = utf8proc_decompose_char(static_cast<utf8proc_int32_t>(c), parts, kMaxParts,
                                           decompose_, &boundary);
    if (n < 1 || n > kMaxParts) {
      points_.push_back(static_cast<utf8proc_int32_t>(c));
    } else {
      points_.insert(points_.end(), parts, parts + n);
    }
  }

  // Reorders, composes, appends to `out` and empties the segment.
  void flush(std::string& out) {
    if (points_.size() > 1) {
      reorder();
      if (composes_) compose();
    }
    for (const auto c : points_) append_utf8(out, static_cast<char32_t>(c));
    points_.clear();
  }

 private:
  static auto combining_class(utf8proc_int32_t c) {
    return utf8proc_get_property(c)->combining_class;
  }

  void compose() {
    const auto n = utf8proc_normalize_utf32(
        points_.data(), static_cast<utf8proc_ssize_t>(points_.size()),
        static_cast<utf8proc_option_t>(UTF8PROC_STABLE | UTF8PROC_COMPOSE));
    if (n >= 0) points_.resize(static_cast<std::size_t>(n));
  }

  // The canonical ordering: each run of marks by its combining class, equal ones as they came.
  void reorder() {
    const auto is_starter = [](auto c) { return combining_class(c) == 0; };
    for (auto at = points_.begin(); at != points_.end();) {
      const auto first = std::find_if_not(at, points_.end(), is_starter);
      at = std::find_if(first, points_.end(), is_starter);
      if (at - first < 2) continue;
      std::stable_sort(first, at,
                       [](auto a, auto b) { return combining_class(a) < combining_class(b); });
    }
  }

  bool composes_;
  utf8proc_option_t decompose_;
  std::vector<utf8proc_int32_t> points_;
};

}  // namespace

std::string normal_form(std::string_view text, NormalForm form) {
  const std::uint8_t first = form == NormalForm::c ? kFirstMarkLead : 0x80;
  const auto may_change = [&](char c) { return static_cast<std::uint8_t>(c) >= first; };
  if (std::ranges::none_of(text, may_change)) return std::string(text);
  std::string out;
  out.reserve(text.size());
  const bool is_compatible = form == NormalForm::kc || form == NormalForm::kd;
  Segment segment(form);
  for (std::size_t at = 0; at < text.size();) {
    const auto [c, length] = decode_utf8(text, at);
    const bool unknown = c >= kFirstMark &&
                         (is_in(kUnknown, c) || (is_compatible && is_in(kUnknownCompatibility, c)));
    if (c < kFirstMark || unknown) segment.flush(out);
    if (unknown) {
      out.append(text.substr(at, length));
    } else {
      segment.append(c);
    }
    at += length;
  }
  segment.flush(out);
  return out;
}

std::string lower_case(std::string_view text) {
  std::string out;
  out.reserve(text.size());
  for (std::size_t at = 0; at < text.size();) {
    const auto [c, length] = decode_utf8(text, at);
    at += length;
    append_utf8(out, lower_case_of(c));
    if (c == 0x130) append_utf8(out, 0x307);  // capital I with a dot: a small i and the dot
  }
  return out;
}

bool is_combining_mark(char32_t c) {
  if (c == 0x1cf2 || c == 0x1cf3) return true;  // no marks any more
  constexpr std::uint8_t kMark = CharClass::front | CharClass::back;
  return (UnicodeClasses::get()(c) & (kMark | CharClass::letter)) == kMark &&
         !is_in(kNewerMarks, c);
}

bool is_word_character(char32_t c) {
  if (c == 0x200c || c == 0x200d) return true;
  if ((c >= 0x24b6 && c <= 0x24e9) || (c >= 0x1f130 && c <= 0x1f189))
    return true;  // letters in circles and squares
  switch (utf8proc_category(static_cast<utf8proc_int32_t>(c))) {
    case UTF8PROC_CATEGORY_LU:
    case UTF8PROC_CATEGORY_LL:
    case UTF8PROC_CATEGORY_LT:
    case UTF8PROC_CATEGORY_LM:
    case UTF8PROC_CATEGORY_LO:
    case UTF8PROC_CATEGORY_MN:
    case UTF8PROC_CATEGORY_MC:
    case UTF8PROC_CATEGORY_ME:
    case UTF8PROC_CATEGORY_ND:
    case UTF8PROC_CATEGORY_NL:
    case UTF8PROC_CATEGORY_PC:
      return true;
    default:
      return false;
  }
}

bool is_upper(char32_t c) {
  const auto category = utf8proc_category(static_cast<utf8proc_int32_t>(c));
  return category == UTF8PROC_CATEGORY_LU || category == UTF8PROC_CATEGORY_LT;
}

}  // namespace tovamill
