// How far the NLL of each token of one run is from that of another.
#pragma once

#include <cstdint>
#include <span>
#include <string>

namespace tovamill::testing {

struct NllDifference {
  std::int64_t n_tokens = 0;                      // that are scored in both
  double share_within = 1.0;                      // of them as near as asked
  double median = 0.0, p95 = 0.0, highest = 0.0;  // nats
  double perplexity_ratio = 1.0;                  // of the second to the first
};

// Compares NLL in nats, NaN where a token is not scored. Throws Error(usage) where the runs do not
// have the same tokens.
NllDifference nll_difference(std::span<const float> a, std::span<const float> b, double within);

// The same of two results.h5 with /tokens/nll.
NllDifference nll_difference_of_files(const std::string& a, const std::string& b, double within);

}  // namespace tovamill::testing
