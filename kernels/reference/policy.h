// The token that leaves a state, one query at a time in float64: the truth for the block-wise
// scans.
#pragma once

#include <cstdint>
#include <vector>

#include "kernels/types/cache_options.h"

namespace tovamill::reference {

// What a policy remembers of one token of a state (or of one KV head's state).
struct TokenMemory {
  std::int64_t position = 0;
  double accumulated = 0.0;    // h2o: sum of weights; tova-ema: moving average of the weights
  std::int64_t n_queries = 0;  // that the token has seen, its own included
  std::int64_t rank =
      0;  // in-state positions: its number by age when the current RoPE segment began
  double value_norm = 1.0;  // tova-ema: L2 norm of the value, mean over KV heads
};

// Adds the newest query's weights (mean over the deciding heads, one per token) to what the policy
// remembers.
void remember(const CacheOptions& options, const std::vector<double>& weights,
              std::vector<TokenMemory>& tokens);

// Whose decision it is: what random evictions are drawn by.
struct Decider {
  std::int64_t layer = 0, group = 0;  // of the whole model
  std::uint64_t random_key = 0;       // StepBlock::random_key
};

// Index of the token that leaves after the query at `step` attended with `weights`; ties go to the
// oldest. Tokens that the policy protects stay. Where no score is a number the oldest leaves. -1
// where all are protected. The caller asks only when more than cache_size tokens are there.
std::int64_t choose_evicted(const CacheOptions& options, std::int64_t step,
                            const std::vector<double>& weights,
                            const std::vector<TokenMemory>& tokens, const Decider& decider = {});

}  // namespace tovamill::reference
