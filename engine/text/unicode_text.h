// What the tokenizers and the classes of tokens need of Unicode beyond classes of characters:
// normalisation form C (Qwen), the characters of a word, capitals.
#pragma once

#include <string>
#include <string_view>

namespace tovamill {

// The NFC form of `text` (UTF-8), equal to that of Hugging Face `tokenizers`, whose tables are
// those of Unicode 9: later marks and composites stay as they are. O(n log n) whatever the text
// holds.
std::string nfc(std::string_view text);

// Whether `c` belongs to a word: \w of Rust's regular expressions (UTS #18: alphabetic, marks,
// digits, connectors, joiners).
bool is_word_character(char32_t c);

bool is_upper(char32_t c);  // an upper-case or title-case letter

}  // namespace tovamill
