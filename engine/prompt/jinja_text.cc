#include "engine/prompt/jinja_text.h"

#include <algorithm>

#include "engine/text/python_text.h"
#include "engine/text/utf8.h"

namespace tovamill {
namespace {

constexpr char32_t kCapitalDottedI = 0x130;  // its lower case has two characters

bool same_character(char32_t a, char32_t b) { return jinja_code_point(a) == jinja_code_point(b); }
bool is_blank(char32_t c) { return is_python_space(jinja_code_point(c)); }

// For each prefix of `text` the length of its longest proper suffix that is a prefix, too (Knuth,
// Morris, Pratt).
std::vector<std::size_t> prefix_table(JinjaTextView text) {
  std::vector<std::size_t> table(text.size(), 0);
  for (std::size_t i = 1, n = 0; i < text.size(); ++i) {
    while (n > 0 && !same_character(text[i], text[n])) n = table[n - 1];
    if (same_character(text[i], text[n])) ++n;
    table[i] = n;
  }
  return table;
}

}  // namespace

JinjaText jinja_text(std::string_view utf8, char32_t origin) {
  JinjaText out;
  out.reserve(utf8.size());
  for (std::size_t at = 0; at < utf8.size();) {
    const auto [c, length] = decode_utf8(utf8, at);
    out += c | origin;
    at += length;
  }
  return out;
}

std::string to_utf8_of(JinjaTextView text) {
  std::string out;
  out.reserve(text.size());
  for (const char32_t c : text) append_utf8(out, jinja_code_point(c));
  return out;
}

bool jinja_equal(JinjaTextView a, JinjaTextView b) {
  return std::equal(a.begin(), a.end(), b.begin(), b.end(), same_character);
}

bool jinja_less(JinjaTextView a, JinjaTextView b) {
  return std::lexicographical_compare(
      a.begin(), a.end(), b.begin(), b.end(),
      [](char32_t x, char32_t y) { return jinja_code_point(x) < jinja_code_point(y); });
}

bool jinja_starts_with(JinjaTextView text, JinjaTextView prefix) {
  return text.size() >= prefix.size() && jinja_equal(text.substr(0, prefix.size()), prefix);
}

bool jinja_ends_with(JinjaTextView text, JinjaTextView suffix) {
  return text.size() >= suffix.size() &&
         jinja_equal(text.substr(text.size() - suffix.size()), suffix);
}

std::vector<std::size_t> jinja_occurrences(JinjaTextView text, JinjaTextView sought,
                                           std::size_t most) {
  std::vector<std::size_t> out;
  if (sought.empty() || sought.size() > text.size()) return out;
  const std::vector<std::size_t> table = prefix_table(sought);
  for (std::size_t i = 0, n = 0; i < text.size() && out.size() < most; ++i) {
    while (n > 0 && !same_character(text[i], sought[n])) n = table[n - 1];
    if (same_character(text[i], sought[n])) ++n;
    if (n == sought.size()) {
      out.push_back(i + 1 - n);
      n = 0;
    }
  }
  return out;
}

JinjaText jinja_stripped(JinjaTextView text, const JinjaText* set, bool left, bool right) {
  const auto goes = [&](char32_t c) {
    if (set == nullptr) return is_blank(c);
    return std::any_of(set->begin(), set->end(),
                       [c](char32_t other) { return same_character(c, other); });
  };
  std::size_t begin = 0, end = text.size();
  while (left && begin < end && goes(text[begin])) ++begin;
  while (right && end > begin && goes(text[end - 1])) --end;
  return JinjaText(text.substr(begin, end - begin));
}

std::vector<JinjaText> jinja_words(JinjaTextView text, std::size_t most_cuts) {
  std::vector<JinjaText> out;
  for (auto at = text.begin();;) {
    const auto begin = std::find_if_not(at, text.end(), is_blank);
    if (begin == text.end()) return out;
    if (out.size() == most_cuts) {
      out.emplace_back(begin, text.end());
      return out;
    }
    at = std::find_if(begin, text.end(), is_blank);
    out.emplace_back(begin, at);
  }
}

JinjaText jinja_upper(JinjaTextView text) {
  JinjaText out;
  out.reserve(text.size());
  for (const char32_t c : text) {
    for (const char32_t upper : python_upper(jinja_code_point(c)))
      out.push_back(upper | (c & ~kCodePointMask));
  }
  return out;
}

JinjaText jinja_lower(JinjaTextView text) {
  std::u32string plain(text);
  for (char32_t& c : plain) c = jinja_code_point(c);
  JinjaText out = python_lower(plain);
  std::size_t at = 0;
  for (const char32_t c : text) {
    out[at++] |= c & ~kCodePointMask;
    if (jinja_code_point(c) == kCapitalDottedI) out[at++] |= c & ~kCodePointMask;
  }
  return out;
}

}  // namespace tovamill
