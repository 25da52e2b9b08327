// ROUGE-1, -2 and -L (Lin 2004) as Google's package `rouge-score` 0.1.2 computes them with its own
// tokenizer.
#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace tovamill {

// The words of a text (UTF-8): runs of a-z and 0-9 of its lower case, as Python has it; every other
// character parts words. `stems`: words of more than 3 letters by porter_stem.
std::vector<std::string> rouge_words(std::string_view text, bool stems);

// F-measures, each in [0, 1]; 0 where a text has no word (or, for rouge2, no pair of words).
struct RougeScores {
  double rouge1 = 0.0, rouge2 = 0.0, rouge_l = 0.0;
};
RougeScores rouge(std::string_view text, std::string_view reference, bool stems);

// The length of the longest common subsequence. O(n m / 64) time for n <= m words, O(n + m) memory.
std::size_t longest_common_subsequence(const std::vector<int>& a, const std::vector<int>& b);

}  // namespace tovamill
