// The classes of code points that the tokenizers' patterns ask for: \p{L}, \p{N}, \s, "numeric",
// and what may begin and end a word whose cases count. The tables are those of Hugging Face
// `tokenizers` (unicode_sets.h), whatever Unicode version the system's libraries have.
#pragma once

#include <array>
#include <cstdint>
#include <memory>
#include <span>

namespace tovamill {

struct CodePointRange {
  char32_t first, last;
};
// Whether one of the ranges, ascending and apart, holds it.
bool is_in(std::span<const CodePointRange> ranges, char32_t c);

// Bits of a class; 0 for everything else (punctuation, symbols, controls, unassigned).
struct CharClass {
  static constexpr std::uint8_t letter = 1;  // \p{L}
  static constexpr std::uint8_t number = 2;  // \p{N}
  static constexpr std::uint8_t space = 4;   // \s, which is the Unicode property White_Space
  static constexpr std::uint8_t numeric =
      8;  // what the pre-tokenizer `Digits` isolates: \p{N} and a few newer digits
  static constexpr std::uint8_t front = 16;  // [\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]
  static constexpr std::uint8_t back = 32;   // [\p{Ll}\p{Lm}\p{Lo}\p{M}]
};

// The characters that came with Unicode 16, and unassigned ones between them; ascending.
std::span<const CodePointRange> newer_than_unicode_15();

class UnicodeClasses {
 public:
  // The one table of the process, built at the first call (1.1 MB, of which a text touches little).
  static const UnicodeClasses& get();
  // The same of Unicode 15.1, whose tables llama.cpp has: characters that came with Unicode 16 are
  // in no class.
  static const UnicodeClasses& before_16();

  std::uint8_t operator()(char32_t code_point) const {
    return code_point < kSize ? table_[code_point] : std::uint8_t{0};
  }

 private:
  static constexpr std::size_t kSize = 0x110000;

  UnicodeClasses();
  void mark(std::span<const CodePointRange> ranges, std::uint8_t bits);

  std::unique_ptr<std::array<std::uint8_t, kSize>> storage_;
  const std::uint8_t* table_;  // storage_'s data
};

}  // namespace tovamill
