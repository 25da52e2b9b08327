// Texts as Python sees them, for measures that are defined by Python programs: lower case, word
// characters, white space. Characters newer than the Unicode version of Python 3.11 (14) or of the
// system's utf8proc may differ.
#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace tovamill {

std::u32string to_code_points(std::string_view utf8);
std::string to_utf8(std::u32string_view text);

// str.lower(): capital sigma at the end of a word becomes the final one, U+0130 an i and a dot.
std::u32string python_lower(std::u32string_view text);
// str.upper() of one character: one to three of them.
std::u32string python_upper(char32_t c);

// str.split(): what stands between runs of white space.
std::vector<std::u32string> python_split(std::u32string_view text);
bool is_python_space(char32_t c);  // str.isspace()

// \w of `re`: letters, numbers of every kind and the underscore, but no marks.
bool is_python_word_character(char32_t c);

}  // namespace tovamill
