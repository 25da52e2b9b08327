#include "engine/tokenizer/word_pattern.h"

#include <algorithm>
#include <string>

#include "engine/text/utf8.h"

namespace tovamill {
namespace {

constexpr std::string_view kGpt2 =
    R"('s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+)";
constexpr std::string_view kLlama3 =
    R"((?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+)";
constexpr std::string_view kQwen2 =
    R"((?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+)";
constexpr std::string_view kLlama3Ascii =
    R"((?:'[sS]|'[tT]|'[rR][eE]|'[vV][eE]|'[mM]|'[lL][lL]|'[dD])|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+)";
constexpr std::string_view kQwen2Ascii =
    R"((?:'[sS]|'[tT]|'[rR][eE]|'[vV][eE]|'[mM]|'[lL][lL]|'[dD])|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+)";
constexpr std::string_view kQwen35 =
    R"((?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?[\p{L}\p{M}]+|\p{N}| ?[^\s\p{L}\p{M}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+)";
constexpr std::string_view kGpt4o =
    R"([^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+(?i:'s|'t|'re|'ve|'m|'ll|'d)?|[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]*(?i:'s|'t|'re|'ve|'m|'ll|'d)?|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+)";
constexpr std::string_view kTekken =
    R"([^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+|[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]*|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+)";

constexpr std::uint8_t kWordClasses = CharClass::letter | CharClass::number | CharClass::space;

bool is_newline(char32_t c) { return c == '\r' || c == '\n'; }

char lower(char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c; }

}  // namespace

std::optional<WordPattern> WordPattern::for_regex(std::string_view regex) {
  if (regex == kGpt2) return gpt2();
  if (regex == kLlama3) return llama3();
  if (regex == kQwen2) return qwen2();
  if (regex == kTekken) return tekken();
  if (regex == kGpt4o) return gpt4o();
  if (regex == kLlama3Ascii) return llama3_ascii();
  if (regex == kQwen2Ascii) return qwen2_ascii();
  return std::nullopt;
}

const char* WordPattern::qwen2_regex() { return kQwen2.data(); }

const char* WordPattern::qwen3_5_regex() { return kQwen35.data(); }

// The end of the run of characters whose class is `char_class` (0: neither letter, number nor
// space).
std::size_t WordPattern::run(std::string_view text, std::size_t at, std::uint8_t char_class) const {
  while (at < text.size()) {
    const auto [c, length] = decode_utf8(text, at);
    if (((*classes_)(c)&kWordClasses) != char_class) break;
    at += length;
  }
  return at;
}

// 's|'t|'re|'ve|'m|'ll|'d with text[at] == '\''; in any_case U+017F is a case of s. 0: none.
std::size_t WordPattern::contraction(std::string_view text, std::size_t at) const {
  if (contractions_ == Contractions::none) return 0;
  const bool folds = contractions_ != Contractions::lower_case;
  const auto letter = [&](std::size_t i) {
    if (at + i >= text.size()) return '\0';
    return folds ? lower(text[at + i]) : text[at + i];
  };
  const char a = letter(1);
  if (a == 's' || a == 't' || a == 'm' || a == 'd') return at + 2;
  if (contractions_ == Contractions::any_case && text.substr(at + 1, 2) == "\u017f") return at + 3;
  const char b = letter(2);
  if (((a == 'r' || a == 'v') && b == 'e') || (a == 'l' && b == 'l')) return at + 3;
  return 0;
}

// \s+(?!\S)|\s+ with a space at `at`: the last space of several is left to what follows.
std::size_t WordPattern::spaces(std::string_view text, std::size_t at) const {
  const std::size_t end = run(text, at, CharClass::space);
  if (end == text.size()) return end;
  const std::size_t last = previous_utf8(text, end);
  return last > at ? last : end;
}

std::size_t WordPattern::next_gpt2(std::string_view text, std::size_t at) const {
  if (text[at] == '\'') {
    if (const std::size_t end = contraction(text, at)) return end;
  }
  const std::size_t first = at + (text[at] == ' ' ? 1 : 0);
  const auto [c, length] = decode_utf8(text, first);
  const auto char_class = static_cast<std::uint8_t>((*classes_)(c)&kWordClasses);
  if (length == 0 || char_class == CharClass::space) return spaces(text, at);
  return run(text, first + length, char_class);
}

// The end of a run of numbers, behind its first: \p{N}{1,max_digits}.
std::size_t WordPattern::digits(std::string_view text, std::size_t at) const {
  for (int n = 1; n < max_digits_; ++n) {
    const auto [c, length] = decode_utf8(text, at);
    if (length == 0 || !((*classes_)(c)&CharClass::number)) break;
    at += length;
  }
  return at;
}

std::size_t WordPattern::next_llama3(std::string_view text, std::size_t at) const {
  if (text[at] == '\'') {
    if (const std::size_t end = contraction(text, at)) return end;
  }
  const auto [c, length] = decode_utf8(text, at);
  const auto char_class = static_cast<std::uint8_t>((*classes_)(c)&kWordClasses);
  if (char_class == CharClass::letter) return run(text, at + length, CharClass::letter);
  if (char_class == CharClass::number) return digits(text, at + length);
  const auto second = decode_utf8(text, at + length);
  if (((*classes_)(second.value) & CharClass::letter) && !is_newline(c))
    return run(text, at + length, CharClass::letter);
  return other(text, at, "\r\n");
}

// ` ?[^\s\p{L}\p{N}]+[endings]*|\s*[\r\n]+|\s+(?!\S)|\s+` with neither letter nor number at `at`.
std::size_t WordPattern::other(std::string_view text, std::size_t at,
                               std::string_view endings) const {
  const auto [c, length] = decode_utf8(text, at);
  const auto second = decode_utf8(text, at + length);
  const bool is_space = ((*classes_)(c)&CharClass::space) != 0;
  const bool takes_second =
      c == ' ' && second.length > 0 && ((*classes_)(second.value) & kWordClasses) == 0;
  if (!is_space || takes_second) {
    const std::size_t end = text.find_first_not_of(endings, run(text, at + length, 0));
    return end == std::string_view::npos ? text.size() : end;
  }
  const std::size_t end = run(text, at, CharClass::space);
  const std::size_t newline = text.substr(at, end - at).find_last_of("\r\n");
  return newline != std::string_view::npos ? at + newline + 1 : spaces(text, at);
}

// The end of the run of characters that have the bit.
std::size_t WordPattern::run_of(std::string_view text, std::size_t at, std::uint8_t bit) const {
  while (at < text.size()) {
    const auto [c, length] = decode_utf8(text, at);
    if (!((*classes_)(c)&bit)) break;
    at += length;
  }
  return at;
}

// [front]*[back]+ from `at`, or [front]+[back]*; 0: no match. What is in both classes goes to the
// front as far as the back keeps one: with nothing of the back behind the front, the word ends
// behind the last that can be its back.
std::size_t WordPattern::cased_word(std::string_view text, std::size_t at,
                                    bool takes_front_alone) const {
  std::size_t front_end = at, back_end = 0;
  while (front_end < text.size()) {
    const auto [c, length] = decode_utf8(text, front_end);
    const std::uint8_t bits = (*classes_)(c);
    if (!(bits & CharClass::front)) {
      if (bits & CharClass::back) return run_of(text, front_end + length, CharClass::back);
      break;
    }
    front_end += length;
    if (bits & CharClass::back) back_end = front_end;
  }
  if (takes_front_alone) return front_end > at ? front_end : 0;
  return back_end;
}

// With contractions, one that follows a word belongs to it.
std::size_t WordPattern::next_tekken(std::string_view text, std::size_t at) const {
  const auto [c, length] = decode_utf8(text, at);
  const auto char_class = static_cast<std::uint8_t>((*classes_)(c)&kWordClasses);
  if (char_class == CharClass::number) return digits(text, at + length);
  const auto with_contraction = [&](std::size_t end) {
    if (end >= text.size() || text[end] != '\'') return end;
    return std::max(end, contraction(text, end));
  };
  const bool goes_before = char_class != CharClass::letter && !is_newline(c);
  for (const bool takes_front_alone : {false, true}) {
    if (goes_before) {
      if (const std::size_t end = cased_word(text, at + length, takes_front_alone))
        return with_contraction(end);
    }
    if (const std::size_t end = cased_word(text, at, takes_front_alone))
      return with_contraction(end);
  }
  return other(text, at, "\r\n/");
}

}  // namespace tovamill
