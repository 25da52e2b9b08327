// What `tovamill status` prints, from a report alone.
#pragma once

#include <cstddef>
#include <string>
#include <vector>

#include "pipeline/run_directory/run_report.h"

namespace tovamill {

// Up to so many ranks, all are shown; of more, the dead, the slowest and the fastest.
inline constexpr std::size_t kMostRanksShown = 16;
inline constexpr std::size_t kMostDeadShown = 12;
inline constexpr std::size_t kMostExtremesShown = 3;  // slowest, and as many fastest

// Indices into `ranks`: all in order, or of many the dead, then the slowest, then the fastest
// (slowest first). Ranks without a rate are neither slow nor fast.
std::vector<std::size_t> ranks_that_matter(const std::vector<RankReport>& ranks, bool all);

// Lines for a terminal; `directory` as the user gave it.
std::string status_text(const std::string& directory, const RunReport& report, bool all_ranks);

}  // namespace tovamill
