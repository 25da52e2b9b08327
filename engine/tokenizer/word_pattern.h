// The pre-tokenizers' regular expressions that matter for speed, as hand-written scanners: those of
// GPT-2, of Llama 3, of Qwen 2 and of Mistral's "tekken". Their matches are the same as the
// expressions' (every text is matched without gaps).
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

  static WordPattern gpt2() { return WordPattern(Style::gpt2, 0); }
  static WordPattern llama3() { return WordPattern(Style::llama3, 3); }
  static WordPattern qwen2() { return WordPattern(Style::llama3, 1); }
  static WordPattern tekken() { return WordPattern(Style::tekken, 1); }

  static const char* qwen2_regex();

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

  WordPattern(Style style, int max_digits) : style_(style), max_digits_(max_digits) {}

  std::size_t next_gpt2(std::string_view text, std::size_t at) const;
  std::size_t next_llama3(std::string_view text, std::size_t at) const;
  std::size_t next_tekken(std::string_view text, std::size_t at) const;
  std::size_t cased_word(std::string_view text, std::size_t at, bool takes_front_alone) const;
  std::size_t other(std::string_view text, std::size_t at, std::string_view endings) const;
  std::size_t run(std::string_view text, std::size_t at, std::uint8_t char_class) const;
  std::size_t run_of(std::string_view text, std::size_t at, std::uint8_t bit) const;
  std::size_t contraction(std::string_view text, std::size_t at) const;
  std::size_t spaces(std::string_view text, std::size_t at) const;

  Style style_;
  int max_digits_;  // digits that stay together, where the style limits them
  const UnicodeClasses* classes_ = &UnicodeClasses::get();
};

}  // namespace tovamill
