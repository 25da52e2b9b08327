// What a sweep, or a comparison of runs, ends with: a line for each setting.
#pragma once

#include <span>
#include <string>
#include <vector>

#include "workers/run/corpus_run.h"

namespace tovamill {

// Columns with two blanks between them: the first to the left, the others to the right. Each row
// has as many cells as the first.
std::string aligned(const std::vector<std::vector<std::string>>& rows);

// "+0.0656 +- 0.0012"; without the error where it is no number.
std::string signed_with_error(const Estimate& e);
std::string perplexity_with_error(const Estimate& e);

// Of texts with their scores where there are references, unless `has_scores` is false.
std::string sweep_table(std::span<const SettingSummary> settings, bool has_scores = true);

}  // namespace tovamill
