// Texts of Jinja templates as Python's str: code points, each of which knows where it comes from.
// So what a record holds is told from what the template says, whatever the template does to it.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>
#include <vector>

namespace tovamill {

// Code points; the bits above them are a character's origin, 0 for what the template itself says.
using JinjaText = std::u32string;
using JinjaTextView = std::u32string_view;

// Who wrote a character. Comparisons, searches and conversions see the code point alone.
struct JinjaOrigin {
  static constexpr char32_t message = 1u << 24;   // the user's message
  static constexpr char32_t document = 1u << 25;  // the document in it, and what stands behind that
  static constexpr char32_t system = 1u << 26;    // the system message
  static constexpr char32_t bos = 1u << 27;       // the variable bos_token
  static constexpr char32_t reply = 1u << 28;     // an assistant's message
  static constexpr char32_t record = message | document | system | reply;
};
constexpr char32_t kCodePointMask = 0x1fffff;
constexpr char32_t jinja_code_point(char32_t c) { return c & kCodePointMask; }

JinjaText jinja_text(std::string_view utf8, char32_t origin = 0);
std::string to_utf8_of(JinjaTextView text);

bool jinja_equal(JinjaTextView a, JinjaTextView b);
bool jinja_less(JinjaTextView a, JinjaTextView b);
bool jinja_starts_with(JinjaTextView text, JinjaTextView prefix);
bool jinja_ends_with(JinjaTextView text, JinjaTextView suffix);

// Where `sought` (not empty) begins in `text`, from the left, without overlaps, at most `most` of
// them. Time is linear in both.
std::vector<std::size_t> jinja_occurrences(JinjaTextView text, JinjaTextView sought,
                                           std::size_t most = static_cast<std::size_t>(-1));

// str.strip() at one end or both: of white space where `set` is null, else of its characters.
JinjaText jinja_stripped(JinjaTextView text, const JinjaText* set, bool left, bool right);
// str.split() without a separator.
std::vector<JinjaText> jinja_words(JinjaTextView text, std::size_t most_cuts);

// str.upper() and str.lower(): a new character has the origin of the one that it stands for.
JinjaText jinja_upper(JinjaTextView text);
JinjaText jinja_lower(JinjaTextView text);

}  // namespace tovamill
