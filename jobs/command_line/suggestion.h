// "Did you mean": the known words nearest to one that is not known.
#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace tovamill {

// The candidates that start with `word`; failing these, those within an edit distance (insert,
// delete, replace, swap neighbours) of a third of the word's length, at least 1, nearest ones only.
// In the order of `candidates`.
std::vector<std::string> nearest_words(std::string_view word,
                                       const std::vector<std::string>& candidates);

// "; did you mean --pin or --bos?", or nothing where no candidate is near. `prefix` is put before
// each word.
std::string did_you_mean(std::string_view word, const std::vector<std::string>& candidates,
                         std::string_view prefix);

}  // namespace tovamill
