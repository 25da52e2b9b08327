// What a token of a text is (engine/classes/token_classes.h says which are what).
#pragma once

#include <array>
#include <cstdint>

namespace tovamill {

enum class TokenClass : std::uint8_t {
  special,      // a control token, or one without text
  newline,      // line feed, carriage return and the like
  space,        // white space only
  digits,       // numbers
  possessive,   // 's at the end of a word
  punctuation,  // and symbols
  capitalised,  // starts a word with a capital
  word_start,   // starts a word otherwise
  inside_word,  // goes on with one
};
inline constexpr std::array<const char*, 9> kTokenClassNames{
    "special",     "newline",     "space",      "digits",     "possessive",
    "punctuation", "capitalised", "word start", "inside word"};

}  // namespace tovamill
