// The pre-tokenizers' regular expressions that matter for speed, as hand-written scanners: those of
// GPT-2, of Llama 3, of Qwen 2, of Mistral's "tekken" and of GPT-4o. Their matches are the same as
// the expressions' (every text is matched without gaps).
#pragma once

#include <cstddef>
#include <optional>
#include <string_view>

#include "engine/text/unicode_classes.h"

namespace tovamill {

class WordPattern {
 public:
  // The scanner equal to the regular expression `regex`, if there is one.
  static std::optional<WordPattern> for_regex(std::string_view regex);

  static WordPattern gpt2() { return {Style::gpt2, 0, Contractions::lower_case}; }
  static WordPattern llama3() { return {Style::llama3, 3, Contractions::any_case}; }
  static WordPattern qwen2() { return {Style::llama3, 1, Contractions::any_case}; }
  static WordPattern tekken() { return {Style::tekken, 1, Contractions::none}; }
  static WordPattern gpt4o() { return {Style::tekken, 3, Contractions::any_case}; }
  // llama.cpp's forms, in which U+017F is no case of s.
  static WordPattern llama3_ascii() { return {Style::llama3, 3, Contractions::ascii_case}; }
  static WordPattern qwen2_ascii() { return {Style::llama3, 1, Contractions::ascii_case}; }

  static const char* qwen2_regex();
  static const char* qwen3_5_regex();  // without a scanner

  // The same with other classes of characters, which outlive it.
  WordPattern with(const UnicodeClasses& classes) const {
    WordPattern out = *this;
    out.classes_ = &classes;
    return out;
  }

  // The end of the match that starts at `at` < text.size().
  std::size_t next(std::string_view text, std::size_t at) const {
    switch (style_) {
      case Style::gpt2:
        return next_gpt2(text, at);
      case Style::llama3:
        return next_llama3(text, at);
      case Style::tekken:
        break;
    }
    return next_tekken(text, at);
  }

 private:
  enum class Style { gpt2, llama3, tekken };
  enum class Contractions { none, lower_case, ascii_case, any_case };  // 's, 't, 're ...

  WordPattern(Style style, int max_digits, Contractions contractions)
      : style_(style), max_digits_(max_digits), contractions_(contractions) {}

  std::size_t next_gpt2(std::string_view text, std::size_t at) const;
  std::size_t next_llama3(std::string_view text, std::size_t at) const;
  std::size_t next_tekken(std::string_view text, std::size_t at) const;
  std::size_t cased_word(std::string_view text, std::size_t at, bool takes_front_alone) const;
  std::size_t other(std::string_view text, std::size_t at, std::string_view endings) const;
  std::size_t run(std::string_view text, std::size_t at, std::uint8_t char_class) const;
  std::size_t run_of(std::string_view text, std::size_t at, std::uint8_t bit) const;
  std::size_t contraction(std::string_view text, std::size_t at) const;
  std::size_t digits(std::string_view text, std::size_t at) const;
  std::size_t spaces(std::string_view text, std::size_t at) const;

  Style style_;
  int max_digits_;  // digits that stay together, where the style limits them
  Contractions contractions_;
  const UnicodeClasses* classes_ = &UnicodeClasses::get();
};

}  // namespace tovamill
