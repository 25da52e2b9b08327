// Sets of code points by the names that the regular expressions of tokenizers use. The tables are
// those of Hugging Face `tokenizers` 0.23 (Unicode 16), whatever the system's libraries have.
#pragma once

#include <optional>
#include <string_view>
#include <vector>

#include "engine/text/unicode_classes.h"

namespace tovamill {

using CodePointSet = std::vector<CodePointRange>;  // ascending, apart

// The set of a general category ("L", "Lu", "Letter", "Uppercase_Letter", ...), a script that is in
// unicode_tables.cc ("Han"), a bracket expression ("alpha" for [:alpha:], ...), or "numeric" (what
// the pre-tokenizer Digits isolates). Case, spaces, '-' and '_' in names do not count. nullopt:
// none of these.
std::optional<CodePointSet> unicode_set(std::string_view name);

// Ranges in any order, sorted and joined.
CodePointSet united(CodePointSet ranges);

// All code points up to 10FFFF that are not in `set`.
CodePointSet complement(const CodePointSet& set);

}  // namespace tovamill
