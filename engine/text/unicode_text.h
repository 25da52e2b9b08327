// What the tokenizers and the classes of tokens need of Unicode beyond classes of characters:
// normalisation forms, lower case, the characters of a word, capitals.
#pragma once

#include <string>
#include <string_view>

namespace tovamill {

enum class NormalForm { c, d, kc, kd };

// The normalisation form of `text` (UTF-8), equal to that of Hugging Face `tokenizers`, whose
// tables are those of Unicode 9: later marks and composites stay as they are. O(n log n) whatever
// the text holds.
std::string normal_form(std::string_view text, NormalForm form);
inline std::string nfc(std::string_view text) { return normal_form(text, NormalForm::c); }

// Each character's lower case by itself, as Rust's char::to_lowercase with Unicode 16 gives it.
std::string lower_case(std::string_view text);

// Whether `c` is a mark (category M) of Unicode 9: what the normalizer StripAccents removes.
bool is_combining_mark(char32_t c);

// Whether `c` belongs to a word: \w of Rust's regular expressions (UTS #18: alphabetic, marks,
// digits, connectors, joiners).
bool is_word_character(char32_t c);

bool is_upper(char32_t c);  // an upper-case or title-case letter

}  // namespace tovamill
