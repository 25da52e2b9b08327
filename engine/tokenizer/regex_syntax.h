// The regular expressions of tokenizer files before they are compiled: what is known to mean here
// what it means in Hugging Face `tokenizers` (Oniguruma 6.9.10 with its own syntax) is rewritten,
// everything else refused by name. Rewritten: \p{..}, \w, \d, \s, [[:..:]] and \b become ranges of
// code points (engine/text/unicode_sets.h), so that the Unicode version of the installed library
// does not matter; characters that are not plain become \x{..}.
#pragma once

#include <string>
#include <string_view>

namespace tovamill {

// The expression `pattern` (valid UTF-8) rewritten. Throws BadData with `where`, the construct and
// its byte. Left out, and refused: references to groups, subexpression calls, conditions, absent
// operators, callouts, \K, \X, \y, the options x, W, D, S, P and y, octal characters, quantified
// quantifiers and anchors, and, where case is ignored, what depends on tables of cases newer than
// the library.
std::string checked_regex(std::string_view pattern, const std::string& where);

}  // namespace tovamill
