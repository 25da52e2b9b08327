// Which token leaves, by hand: five tokens at most, every policy.

#include <gtest/gtest.h>

#include <cmath>
#include <limits>

#include "kernels/reference/policy.h"

namespace tovamill::reference {
namespace {

constexpr double kNan = std::numeric_limits<double>::quiet_NaN();

// Tokens in order of age at these positions, with what the policy accumulated of each.
std::vector<TokenMemory> tokens_at(std::vector<std::int64_t> positions,
                                   std::vector<double> accumulated = {}) {
  std::vector<TokenMemory> tokens;
  for (std::size_t j = 0; j < positions.size(); ++j) {
    tokens.push_back({.position = positions[j],
                      .accumulated = accumulated.empty() ? 0.0 : accumulated[j],
                      .n_queries = 1});
  }
  return tokens;
}

CacheOptions with(Policy policy) { return {.policy = policy, .cache_size = 4}; }

TEST(ReferencePolicy, TovaEvictsTheLowestWeight) {
  for (Policy p : {Policy::tova, Policy::tova_head}) {
    EXPECT_EQ(choose_evicted(with(p), 9, {0.2, 0.3, 0.1, 0.4}, tokens_at({0, 3, 5, 9})), 2);
    EXPECT_EQ(choose_evicted(with(p), 9, {0.2, 0.3, 0.4, 0.1}, tokens_at({0, 3, 5, 9})), 3)
        << "the newest may leave";
  }
}

TEST(ReferencePolicy, TiesGoToTheOldestInAnyOrder) {
  EXPECT_EQ(
      choose_evicted(with(Policy::tova), 9, {0.25, 0.25, 0.25, 0.25}, tokens_at({0, 3, 5, 9})), 0);
  EXPECT_EQ(choose_evicted(with(Policy::tova), 9, {0.4, 0.1, 0.1, 0.4}, tokens_at({0, 3, 5, 9})),
            1);
  EXPECT_EQ(choose_evicted(with(Policy::tova), 9, {0.4, 0.1, 0.1, 0.4}, tokens_at({9, 5, 3, 0})),
            2);
}

TEST(ReferencePolicy, PinnedTokensStay) {
  for (Policy p : {Policy::tova, Policy::tova_head, Policy::tova_ema}) {
    CacheOptions o = with(p);
    o.pin = 2;
    EXPECT_EQ(
        choose_evicted(o, 9, {0.0, 0.1, 0.5, 0.4}, tokens_at({0, 1, 5, 9}, {0.0, 0.1, 0.5, 0.4})),
        3);
    o.pin = 10;
    EXPECT_EQ(choose_evicted(o, 9, {0.0, 0.1, 0.5, 0.4}, tokens_at({0, 1, 5, 9})), -1)
        << "all are pinned";
  }
}

TEST(ReferencePolicy, H2oEvictsTheLowestSumButNoRecentToken) {
  for (Policy p : {Policy::h2o, Policy::h2o_head}) {
    CacheOptions o = with(p);  // half of 4: positions 8 and 9 are protected
    EXPECT_EQ(choose_evicted(o, 9, {0, 0, 0, 0, 0},
                             tokens_at({0, 3, 5, 8, 9}, {2.0, 1.0, 1.5, 0.1, 0.2})),
              1);
    o.recent = 0;
    EXPECT_EQ(choose_evicted(o, 9, {0, 0, 0, 0, 0},
                             tokens_at({0, 3, 5, 8, 9}, {2.0, 1.0, 1.5, 0.1, 0.2})),
              3);
    o.recent = 10;
    EXPECT_EQ(choose_evicted(o, 9, {0, 0, 0, 0, 0}, tokens_at({0, 3, 5, 8, 9})), -1);
  }
}

TEST(ReferencePolicy, WindowEvictsTheOldestBehindTheSinks) {
  CacheOptions o = with(Policy::window);
  EXPECT_EQ(choose_evicted(o, 9, {0, 0, 0}, tokens_at({7, 8, 9})), 0);
  o.sinks = 2;
  EXPECT_EQ(choose_evicted(o, 9, {0, 0, 0, 0}, tokens_at({0, 1, 8, 9})), 2);
}

// The numbers that tokens draw were worked out by another implementation of Philox, from its paper:
// at step 9 of layer 0 with key 0 they are d494fde5, d7e9725d, d2a7d279, fc4433ce and ce6d6968.
TEST(ReferencePolicy, RandomEvictsTheTokenThatDrawsTheLowestNumber) {
  struct Draw {
    std::int64_t step;
    Decider decider;
    std::int64_t chosen;
  };
  const std::vector<double> weights{0.5, 0.0, 0.1, 0.2, 0.2};
  for (const Draw& d : {Draw{9, {}, 4}, Draw{10, {}, 2}, Draw{11, {}, 0}, Draw{9, {.layer = 1}, 0},
                        Draw{9, {.layer = 2}, 3}, Draw{9, {.random_key = ~0ull}, 3}}) {
    EXPECT_EQ(choose_evicted(with(Policy::random), d.step, weights, tokens_at({0, 3, 5, 8, 9}),
                             d.decider),
              d.chosen)
        << d.step << ' ' << d.decider.layer;
  }
  CacheOptions o = with(Policy::random);
  EXPECT_EQ(choose_evicted(o, 10, weights, tokens_at({9, 8, 5, 3, 0})), 2) << "in any order";
  o.pin = 8;
  EXPECT_EQ(choose_evicted(o, 10, weights, tokens_at({0, 3, 5, 8, 9})), 3) << "6dea66a4";
  o.pin = 10;
  EXPECT_EQ(choose_evicted(o, 10, weights, tokens_at({0, 3, 5, 8, 9})), -1) << "all are pinned";
}

// Each of 16 tokens that may leave leaves as often as any other, whatever comes before, between
// documents, layers and steps.
TEST(ReferencePolicy, RandomEvictsEachTokenWithTheSameProbability) {
  std::vector<std::int64_t> positions(18);
  for (std::size_t j = 0; j < positions.size(); ++j)
    positions[j] = static_cast<std::int64_t>(j * (j + 3) / 2);
  CacheOptions o = with(Policy::random);
  o.pin = 3;  // positions 0 and 2
  const std::vector<double> weights(positions.size(), 0.0);
  constexpr int kDraws = 8000, kFree = 16;
  for (const int varied : {0, 1, 2}) {
    std::vector<int> counts(positions.size(), 0);
    for (int i = 0; i < kDraws; ++i) {
      const std::int64_t step = 200 + (varied == 0 ? i : 0);
      const Decider decider{.layer = varied == 1 ? i : 3,
                            .random_key = varied == 2 ? static_cast<std::uint64_t>(i) << 20 : 77};
      ++counts[static_cast<std::size_t>(
          choose_evicted(o, step, weights, tokens_at(positions), decider))];
    }
    EXPECT_EQ(counts[0] + counts[1], 0);
    double chi_square = 0.0;
    for (std::size_t j = 2; j < counts.size(); ++j) {
      const double off = counts[j] - static_cast<double>(kDraws) / kFree;
      chi_square += off * off / (static_cast<double>(kDraws) / kFree);
    }
    // 99.9 % of random counts lie below, 0.1 % below 3.5 (15 degrees of freedom).
    EXPECT_LT(chi_square, 37.7) << varied;
    EXPECT_GT(chi_square, 3.5) << varied;
  }
}

TEST(ReferencePolicy, FullEvictsNothing) {
  EXPECT_EQ(choose_evicted(with(Policy::full), 9, {0.1, 0.2}, tokens_at({0, 1})), -1);
}

TEST(ReferencePolicy, EmaCorrectsTheAverageAndWeighsTheValue) {
  CacheOptions o = with(Policy::tova_ema);
  o.ema = 0.5;
  std::vector<TokenMemory> tokens = {{.position = 0, .value_norm = 2.0},
                                     {.position = 1, .value_norm = 1.0}};
  remember(o, {0.5, 0.5}, tokens);
  EXPECT_EQ(tokens[0].accumulated, 0.25);
  remember(o, {0.25, 0.75}, tokens);
  EXPECT_EQ(tokens[0].accumulated, 0.25);  // 0.5 * 0.25 + 0.5 * 0.25
  EXPECT_EQ(tokens[1].accumulated, 0.5);
  EXPECT_EQ(tokens[1].n_queries, 2);
  // 0.25 / 0.75 * 2 and 0.5 / 0.75 * 1 are equal: the oldest.
  EXPECT_EQ(choose_evicted(o, 1, {0.25, 0.75}, tokens), 0);
  // A token of one query, 0.25 / 0.5 * 1, is lower than both.
  tokens.push_back({.position = 2, .accumulated = 0.25, .n_queries = 1});
  EXPECT_EQ(choose_evicted(o, 2, {0.2, 0.2, 0.6}, tokens), 2);
}

TEST(ReferencePolicy, H2oSumsTheWeights) {
  std::vector<TokenMemory> tokens = tokens_at({0, 1}, {1.0, 0.5});
  remember(with(Policy::h2o), {0.25, 0.75}, tokens);
  EXPECT_EQ(tokens[0].accumulated, 1.25);
  EXPECT_EQ(tokens[1].accumulated, 1.25);
}

TEST(ReferencePolicy, WithoutANumberTheOldestThatMayLeaveLeaves) {
  CacheOptions o = with(Policy::tova);
  EXPECT_EQ(choose_evicted(o, 9, {kNan, kNan, kNan}, tokens_at({0, 5, 9})), 0);
  EXPECT_EQ(choose_evicted(o, 9, {kNan, kNan, kNan}, tokens_at({9, 0, 5})), 1);
  o.pin = 1;
  EXPECT_EQ(choose_evicted(o, 9, {kNan, kNan, kNan}, tokens_at({0, 5, 9})), 1);
}

TEST(ReferencePolicy, ANumberIsLowerThanNone) {
  EXPECT_EQ(choose_evicted(with(Policy::tova), 9, {0.3, kNan, 0.2}, tokens_at({0, 5, 9})), 2);
  EXPECT_EQ(choose_evicted(with(Policy::tova), 9, {kNan, 0.3, 0.2}, tokens_at({0, 5, 9})), 2);
}

}  // namespace
}  // namespace tovamill::reference
