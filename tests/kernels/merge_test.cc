// Merged tokens and layers of different sizes: the fast backends against the reference, whatever
// the blocks.

#include "kernels/reference/merge.h"

#include <gtest/gtest.h>

#include <cmath>
#include <cstddef>
#include <string>
#include <vector>

#include "kernels/types/error.h"
#include "tests/support/attention/attention_checks.h"

namespace tovamill::testing {
namespace {

struct NamedSetting {
  std::string name;
  AttentionSetting setting;
};

std::vector<NamedSetting> merging_settings() {
  const CacheOptions tova{.policy = Policy::tova, .cache_size = 40, .merge = 6},
      ema{.policy = Policy::tova_ema, .cache_size = 40, .pin = 3, .merge = 8};
  std::vector<NamedSetting> all{{"tova", {.cache = tova}}, {"tova_ema", {.cache = ema}}};
  AttentionSetting s{.cache = ema};
  s.cache.clip_distance = 100;
  all.push_back({"clipped", s});
  s.cache.positions = Positions::absolute;
  s.cache.clip_distance = 0;
  all.push_back({"absolute", s});
  s = {.head_dim = 10, .n_kv_heads = 3, .per_kv = 1, .cache = tova};
  all.push_back({"narrow_heads", s});
  s = {.cache = ema};
  s.cache.layer_sizes = {90, 25};
  all.push_back({"layers_of_two_sizes", s});
  s.cache.merge = 0;
  all.push_back({"two_sizes_without_merging", s});
  s = {.layers = {{.sliding_window = 25}, {.rope = kNoRope}}, .cache = tova};
  all.push_back({"window_and_no_rotation", s});
  s = {.cache = tova};
  s.cache.merge = 39;
  all.push_back({"one_live_token", s});
  return all;
}

class MergeOnDevices : public OnFastDevices {};

TEST_P(MergeOnDevices, EqualsTheReferenceInBlocksOfAnySize) {
  std::size_t n_settings = 0;
  for (const NamedSetting& s : merging_settings()) {
    for (const std::int32_t each : {1, 7, 64, 90, 256}) {
      if (!runs_on(device(), n_settings++, 11)) continue;
      SCOPED_TRACE(s.name + " " + std::to_string(each));
      const std::vector<NextBlock> blocks = blocks_of(700, each, s.setting.cache.pin);
      const AttentionStream actual = run_on(s.setting, device(), blocks, 700, 6),
                            expected = run_on(s.setting, DeviceKind::reference, blocks, 700, 6);
      expect_near(actual, expected, {.merges = s.setting.cache.merge > 0});
      EXPECT_EQ(actual.n_attended, expected.n_attended);
    }
  }
}

// Saved in the middle of a merge interval, behind one and at the begin of a RoPE segment.
TEST_P(MergeOnDevices, GoesOnFromASavedState) {
  std::size_t n_settings = 0;
  for (const NamedSetting& s : merging_settings()) {
    if (!runs_on(device(), n_settings++, 3)) continue;
    for (const DeviceKind kind : {device(), DeviceKind::reference}) {
      SCOPED_TRACE(s.name + " " + std::string(name_of(kind)));
      AttentionSetting setting = s.setting;
      setting.device = kind;
      AttentionDevice d(setting);
      std::vector<NextBlock> blocks;
      for (const std::int32_t n : {100, 92, 64, 44, 212})
        blocks.push_back({.n_tokens = n, .pin = setting.cache.pin});
      AttentionStream whole{.input = d.input(512, 6), .blocks = blocks};
      AttentionStream parts{.input = whole.input, .blocks = blocks};
      for (std::size_t i = 0; i < blocks.size(); ++i) {
        d.step({&whole});
        d.step({&parts});
        std::vector<std::byte> saved, again;
        d.backend().save(*parts.state, saved);
        parts.state = d.backend().make_state();
        EXPECT_EQ(d.backend().load(*parts.state, saved), parts.position);
        d.backend().save(*parts.state, again);
        EXPECT_EQ(saved, again);
        saved.resize(saved.size() - 1);
        auto other = d.backend().make_state();
        EXPECT_THROW(d.backend().load(*other, saved), Error);
      }
      EXPECT_EQ(parts.left, whole.left);
      EXPECT_EQ(parts.out, whole.out);
    }
  }
}

// What a merge does to two tokens that left together, by hand: equal masses meet in the middle, and
// the bias makes their sum of it.
TEST(Merge, OfEqualTokensIsTheirMeanAndWeighsAsBoth) {
  using namespace reference;
  MergeState state;
  state.places.resize(1);
  state.queries.resize(1);
  const std::vector<double> query{1.0, 0.0};
  for (int i = 0; i < kMergeInterval; ++i) add_query(query.data(), 2, state.queries[0]);
  state.n_queries = kMergeInterval;
  state.left = {{.position = 3, .key = {1.0, 2.0}, .value = {1.0, 5.0}},
                {.position = 6, .key = {1.0, -2.0}, .value = {3.0, 7.0}}};
  const std::vector<std::vector<double>> live{{0.5, 0.5}};
  merge(state, live, 1.0);
  const MergedToken& m = state.places[0];
  ASSERT_TRUE(m.is_used);
  EXPECT_NEAR(m.position, 4.5, 1e-12);
  EXPECT_NEAR(m.key[0], 1.0, 1e-12);
  EXPECT_NEAR(m.key[1], 0.0, 1e-12);
  EXPECT_NEAR(m.value[0], 2.0, 1e-12);
  EXPECT_NEAR(m.value[1], 6.0, 1e-12);
  EXPECT_NEAR(m.bias, std::log(2.0), 1e-12) << "all queries are equal: their variance is 0";
  EXPECT_TRUE(state.left.empty());
  EXPECT_EQ(state.n_queries, 0);
}

INSTANTIATE_TEST_SUITE_P(Devices, MergeOnDevices,
                         ::testing::Values(DeviceKind::cpu, DeviceKind::cuda),
                         [](const auto& p) { return std::string(name_of(p.param)); });

}  // namespace
}  // namespace tovamill::testing
