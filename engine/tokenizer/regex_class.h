// Characters, sets and classes of a tokenizer's regular expression: what regex_syntax.h reads a
// pattern with.
#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "engine/text/unicode_sets.h"

namespace tovamill {

// A pattern and the byte that is read next.
struct RegexInput {
  std::string_view pattern;
  const std::string& where;  // the file, for messages
  std::size_t at = 0;

  bool at_end() const { return at >= pattern.size(); }
  char peek() const { return pattern[at]; }
  bool starts_with(std::string_view text) const { return pattern.substr(at).starts_with(text); }
  bool take(std::string_view text) {
    if (!starts_with(text)) return false;
    at += text.size();
    return true;
  }
  char32_t next_character();
  // The character that comes next, for messages.
  std::string character_text() const;
  // Throws BadData: `construct` at the byte `begin`.
  [[noreturn]] void refuse(std::size_t begin, const std::string& construct) const;
};

// An expression in quotes, in ASCII and cut, for messages.
std::string regex_text(std::string_view pattern);

// A letter, digit or underscore of ASCII.
bool is_regex_name(char c);

// `code` as a regular expression that matches it and nothing else.
void append_regex_character(std::string& out, char32_t code);

// The ranges of a set, for the inside of a class. Surrogates, which no UTF-8 text has, are left
// out.
std::string regex_ranges(const CodePointSet& set);

// \w, \W, \s, \S, \d, \D, \h, \H, \p{..}, \p{^..} or \P{..}; nullopt where another escape comes
// next. Refused where case is ignored: those whose members have cases.
std::optional<CodePointSet> read_regex_set(RegexInput& in, bool ignores_case, bool in_class);

// \w outside of a class, and what \b looks at: with the superscripts 1 to 3 and the fractions of
// Latin-1, which Oniguruma's [\w] lacks.
CodePointSet regex_word_set();

// The character of an escape: \t, \n, \v, \f, \r, \a, \e, \xHH below 80, \x{H}, \uHHHH, or a sign.
char32_t read_regex_escape(RegexInput& in);

// A class in brackets, rewritten.
std::string read_regex_class(RegexInput& in, bool ignores_case);

}  // namespace tovamill
