#include "tests/support/models/golden_file.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <filesystem>
#include <string>
#include <utility>
#include <vector>

namespace tovamill::testing {
namespace {

class GoldenFile : public ::testing::TestWithParam<std::string> {};

TEST_P(GoldenFile, ArraysAgreeInSize) {
  const GoldenModel model = load_golden(GetParam());
  const std::size_t n_tokens = model.ids.size();
  ASSERT_GT(n_tokens, std::size_t{kRopeSegmentTokens});
  for (const auto& path : model.models) EXPECT_TRUE(std::filesystem::exists(path)) << path;
  for (const GoldenCase& c : model.cases) {
    SCOPED_TRACE(c.name);
    EXPECT_NO_THROW(validate(c.options));
    EXPECT_EQ(c.nll.size(), n_tokens - 1);
    EXPECT_TRUE(
        std::ranges::all_of(c.nll, [](double nll) { return std::isfinite(nll) && nll >= 0; }));
    const bool bounded = is_bounded(c.options);
    EXPECT_EQ(c.n_units > 1, is_head_wise(c.options.policy));
    EXPECT_EQ(c.eviction_step.size(),
              bounded ? std::size_t(model.n_layers * c.n_units) * n_tokens : 0u);
    // A sliding window shorter than the state leaves nothing for scores to decide.
    EXPECT_TRUE(c.margin.empty() ||
                (needs_scan(c.options.policy) && c.margin.size() == c.eviction_step.size()));
  }
}

// Windows of the models, which layers keep instead of larger caches.
std::int32_t window_of(const std::string& model) {
  return model == "mistral" ? 48 : model == "qwen2-layers" ? 24 : 0;
}

TEST_P(GoldenFile, EveryStepOfAFullStateHasOneDeath) {
  const GoldenModel model = load_golden(GetParam());
  const auto n_tokens = static_cast<std::int32_t>(model.ids.size());
  for (const GoldenCase& c : model.cases) {
    SCOPED_TRACE(c.name);
    for (std::size_t row = 0; row < c.eviction_step.size(); row += n_tokens) {
      std::vector<std::int32_t> deaths(c.eviction_step.begin() + row,
                                       c.eviction_step.begin() + row + n_tokens);
      for (std::int32_t j = 0; j < n_tokens; ++j) EXPECT_TRUE(deaths[j] == -1 || deaths[j] >= j);
      std::ranges::sort(deaths);
      const auto first = std::ranges::upper_bound(deaths, -1);
      const auto places = static_cast<std::int32_t>(n_tokens - (deaths.end() - first));
      if (places != c.options.cache_size) {
        EXPECT_LT(places, c.options.cache_size);
        ASSERT_EQ(places, window_of(GetParam()));
      }
      for (std::int32_t t = places; t < n_tokens; ++t) EXPECT_EQ(first[t - places], t);
    }
  }
}

INSTANTIATE_TEST_SUITE_P(Models, GoldenFile, ::testing::ValuesIn(golden_names()),
                         [](const auto& info) {
                           std::string name = info.param;
                           std::ranges::replace(name, '-', '_');
                           return name;
                         });

TEST(GoldenFile, HoldsEveryPolicyAndPosition) {
  std::vector<std::pair<Policy, Positions>> seen;
  for (const std::string& name : golden_names()) {
    for (const GoldenCase& c : load_golden(name).cases)
      seen.push_back({c.options.policy, c.options.positions});
  }
  for (const Policy p : {Policy::tova, Policy::tova_head, Policy::tova_ema, Policy::h2o,
                         Policy::h2o_head, Policy::window, Policy::full}) {
    EXPECT_TRUE(std::ranges::count(seen, p, &std::pair<Policy, Positions>::first)) << name_of(p);
  }
  for (const Positions p : {Positions::clipped, Positions::absolute, Positions::in_state}) {
    EXPECT_TRUE(std::ranges::count(seen, p, &std::pair<Policy, Positions>::second)) << name_of(p);
  }
}

TEST(GoldenFile, UnknownCaseIsNamed) {
  EXPECT_EQ(load_golden("llama3").at("full").source, "transformers");
  EXPECT_THROW(load_golden("llama3").at("nonsense"), std::out_of_range);
}

TEST(GoldenQuants, HoldOneRowOf512ValuesOfEachType) {
  const std::vector<GoldenQuant> quants = load_golden_quants();
  EXPECT_EQ(quants.size(), 8u);
  for (const GoldenQuant& q : quants) {
    EXPECT_EQ(q.values.size(), 512u) << q.type;
    EXPECT_FALSE(q.blocks.empty()) << q.type;
  }
}

}  // namespace
}  // namespace tovamill::testing
