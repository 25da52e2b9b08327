#include "tests/support/runs/nll_difference.h"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <vector>

#include "kernels/types/error.h"

namespace tovamill::testing {
namespace {

constexpr float kNone = std::numeric_limits<float>::quiet_NaN();

TEST(NllDifference, TellsSharesQuantilesAndTheRatioOfPerplexities) {
  const std::vector<float> a{kNone, 1, 1, 1, 1}, b{kNone, 1, 1.5F, 0.75F, 1};
  const NllDifference d = nll_difference(a, b, 0.25);
  EXPECT_EQ(d.n_tokens, 4);
  EXPECT_EQ(d.share_within, 0.75);
  EXPECT_EQ(d.highest, 0.5);
  EXPECT_EQ(d.median, 0.25);
  EXPECT_NEAR(d.perplexity_ratio, std::exp(0.0625), 1e-12);
}

TEST(NllDifference, RefusesRunsOfOtherTokens) {
  const std::vector<float> a{kNone, 1, 1}, fewer{kNone, 1}, other{kNone, kNone, 1};
  EXPECT_THROW(nll_difference(a, fewer, 1), Error);
  EXPECT_THROW(nll_difference(a, other, 1), Error);
}

}  // namespace
}  // namespace tovamill::testing
