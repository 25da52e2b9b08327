// What a probe ends with: a line for each task and setting.
#pragma once

#include <string>
#include <vector>

#include "pipeline/probe/probe_results.h"

namespace tovamill {

// A column for each length, all depths together: the share of right answers with Wilson's interval
// of 95 %, "0.93 [0.79, 0.98]"; where an answer has several keys in a second table the share of
// these that were found. Empty where there is no answer.
std::string probe_table(const std::vector<ProbeSetting>& settings);

}  // namespace tovamill
