// The constants of merged tokens (kernels/README.md, "Merged tokens"), the same in all backends.
#pragma once

#include <cstdint>

namespace tovamill {

inline constexpr std::int32_t kMergeRounds = 2;      // of k-means
inline constexpr double kMergeVarianceShare = 0.25;  // of the queries' variance in a logit; a
                                                     // Gaussian's own would be 0.5
inline constexpr double kMergeBoost = 0.2;           // of the logits of merged tokens
inline constexpr double kLowestMergeMass = 1e-20;    // shares of the softmax below count as this
inline constexpr double kMostMergeBias = 60.0;

}  // namespace tovamill
