// A Jinja template cut into its text and tags, with the white space taken off as Hugging Face's
// `apply_chat_template` does (trim_blocks and lstrip_blocks on).
#pragma once

#include <cstddef>
#include <cstdint>
#include <stdexcept>
#include <string>
#include <string_view>
#include <vector>

namespace tovamill {

// Where something stands in a template: line and column, in characters, from 1.
struct JinjaPlace {
  std::size_t line = 1, column = 1;
};

// What a template does that is not known here, with its place. One line of text.
class JinjaError : public std::runtime_error {
 public:
  JinjaError(JinjaPlace place, const std::string& problem)
      : std::runtime_error("line " + std::to_string(place.line) + ", column " +
                           std::to_string(place.column) + ": " + problem) {}
};

struct JinjaToken {
  enum class Kind : std::uint8_t { name, text, integer, real, sign, end };
  Kind kind = Kind::end;
  std::string text;  // of a string literal, its escapes resolved
  JinjaPlace place;
};

struct JinjaPart {
  enum class Kind : std::uint8_t { data, print, statement };  // text, {{ ... }}, {% ... %}
  Kind kind = Kind::data;
  std::string data;
  std::vector<JinjaToken> tokens;  // the last is `end`
  JinjaPlace place;                // where it begins
};

// In order; comments are left out. Time is linear in the length. Throws JinjaError for a tag that
// does not end and for characters that are no part of Jinja's expressions.
std::vector<JinjaPart> split_jinja(std::string_view source);

}  // namespace tovamill
