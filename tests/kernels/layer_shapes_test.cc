// Layers of one model that differ: each has its sliding window, its rotary table or none, sinks or
// none, and its scale of the scores.

#include <gtest/gtest.h>

#include <memory>
#include <string>
#include <vector>

#include "tests/support/attention/attention_checks.h"
#include "tests/support/error_of.h"

namespace tovamill::testing {
namespace {

constexpr std::int32_t kCache = 40;

struct NamedLayers {
  std::string name;
  std::vector<LayerShape> layers;
};

std::vector<NamedLayers> mixed_layers() {
  const LayerShape plain, windowed{.sliding_window = 25}, bare{.rope = kNoRope};
  return {
      {"a window in the first", {windowed, plain}},
      {"a window in the last", {plain, windowed}},
      {"no rotation in the first", {bare, plain}},
      {"no rotation in the last, with a window", {plain, {.sliding_window = 25, .rope = kNoRope}}},
      {"sinks, a window in the last",
       {{.has_sinks = true}, {.sliding_window = 25, .has_sinks = true}}},
      {"two tables, two scales", {{.rope = 1}, {.attention_scale = 0.4}}}};
}

class MixedLayers : public OnFastDevices {};

TEST_P(MixedLayers, EqualTheReference) {
  std::size_t n_settings = 0;
  for (const NamedLayers& mix : mixed_layers()) {
    for (const NamedCache& p : policies_and_positions(kCache)) {
      for (const std::int32_t each : {90, 1}) {
        if (!runs_on(device(), n_settings++, each == 90 ? 17 : kNever)) continue;
        SCOPED_TRACE(mix.name + " " + p.name + " " + std::to_string(each));
        const AttentionSetting setting{.layers = mix.layers, .cache = p.cache};
        const auto blocks = blocks_of(300, each);
        const AttentionStream actual = run_on(setting, device(), blocks, 300, 1),
                              expected = run_on(setting, DeviceKind::reference, blocks, 300, 1);
        expect_near(actual, expected);
        EXPECT_EQ(actual.n_attended, expected.n_attended);
      }
    }
  }
}

TEST_P(MixedLayers, DecodeAsTheReferenceDoes) {
  for (const NamedLayers& mix : mixed_layers()) {
    SCOPED_TRACE(mix.name);
    const AttentionSetting setting{.layers = mix.layers, .cache = {.cache_size = 12}};
    const AttentionStream actual = run_on(setting, device(), blocks_of(40, 1), 40, 2),
                          expected =
                              run_on(setting, DeviceKind::reference, blocks_of(40, 1), 40, 2);
    expect_near(actual, expected);
    EXPECT_EQ(actual.n_attended, expected.n_attended);
  }
}

// What a state of half the tokens was saved as goes on to the same end.
TEST_P(MixedLayers, GoOnFromSavedStates) {
  for (const NamedLayers& mix : mixed_layers()) {
    SCOPED_TRACE(mix.name);
    AttentionSetting setting{.layers = mix.layers, .cache = {.cache_size = kCache}};
    setting.cache.clip_distance = 100;
    setting.device = device();
    AttentionDevice d(setting);
    const AttentionInput input = d.input(300, 3);
    AttentionStream whole{.input = input, .blocks = blocks_of(300, 100)},
        first{.input = input, .blocks = blocks_of(200, 100)};
    d.run(whole);
    d.run(first);
    std::vector<std::byte> saved;
    d.backend().save(*first.state, saved);
    AttentionStream rest{.input = input, .blocks = blocks_of(100, 100)};
    rest.state = d.backend().make_state();
    d.backend().load(*rest.state, saved);
    rest.position = 200;
    d.run(rest);
    const std::vector<double> end(whole.out.end() - 100, whole.out.end());
    EXPECT_EQ(std::vector<double>(rest.out.end() - 100, rest.out.end()), end);
  }
}

class EveryDevice : public ::testing::TestWithParam<DeviceKind> {
 protected:
  void SetUp() override {
    if (devices({GetParam()}).empty()) GTEST_SKIP() << "no GPU";
  }
};

TEST_P(EveryDevice, PositionsDoNotMatterWithoutRope) {
  const LayerShape bare{.rope = kNoRope};
  std::vector<AttentionStream> streams;
  for (const Positions positions : {Positions::absolute, Positions::clipped, Positions::in_state}) {
    AttentionSetting setting{.layers = {bare, bare}, .cache = {.cache_size = 12}};
    setting.cache.positions = positions;
    setting.cache.clip_distance = positions == Positions::clipped ? 30 : 0;
    streams.push_back(run_on(setting, GetParam(), blocks_of(280, 140), 280, 4));
    EXPECT_EQ(streams.back().out, streams.front().out);
    EXPECT_EQ(streams.back().left, streams.front().left);
  }
}

TEST_P(EveryDevice, WithoutRopeIsAsWithFrequenciesOfZero) {
  AttentionSetting bare{.layers = std::vector<LayerShape>(2, {.rope = kNoRope}),
                        .cache = {.cache_size = 12}},
      zero{.rotates = false, .cache = {.cache_size = 12}};
  const AttentionStream a = run_on(bare, GetParam(), blocks_of(40, 20), 40, 5),
                        b = run_on(zero, GetParam(), blocks_of(40, 20), 40, 5);
  EXPECT_EQ(a.out, b.out);
  EXPECT_EQ(a.left, b.left);
}

TEST_P(EveryDevice, RefusesTheStateOfOtherLayers) {
  const auto saved_by = [&](const std::vector<LayerShape>& layers) {
    AttentionDevice d({.layers = layers, .cache = {.cache_size = 12}, .device = GetParam()});
    AttentionStream stream{.input = d.input(20, 6), .blocks = blocks_of(20, 20)};
    d.run(stream);
    std::vector<std::byte> saved;
    d.backend().save(*stream.state, saved);
    return saved;
  };
  AttentionDevice plain({.cache = {.cache_size = 12}, .device = GetParam()});
  const auto state = plain.backend().make_state();
  EXPECT_NO_THROW(plain.backend().load(*state, saved_by({{}, {}})));
  for (const NamedLayers& mix : mixed_layers()) {
    const auto saved = saved_by(mix.layers);
    EXPECT_TRUE(
        contains(error_of([&] { plain.backend().load(*state, saved); }), "the model's shape"))
        << mix.name;
  }
}

const LayerShape kPlain, kWindowed{.sliding_window = 25};

// No policy has a choice where a layer keeps all that its window shows.
TEST_P(MixedLayers, WithWindowsWithinTheCacheGiveWhatWholeStatesGive) {
  const CacheOptions caches[] = {
      {.policy = Policy::tova},     {.policy = Policy::tova, .pin = 30},
      {.policy = Policy::h2o},      {.policy = Policy::h2o_head},
      {.policy = Policy::tova_ema}, {.policy = Policy::window, .sinks = 4},
      {.policy = Policy::random},   {.policy = Policy::tova_head}};
  for (const std::int32_t each : {100, 37, 1}) {
    AttentionSetting setting{.layers = {kWindowed, kPlain}, .cache = {.policy = Policy::full}};
    const AttentionStream whole = run_on(setting, device(), blocks_of(130, each), 130, 4);
    for (const CacheOptions& cache : caches) {
      SCOPED_TRACE(std::string(name_of(cache.policy)) + " " + std::to_string(each));
      setting.cache = cache;
      setting.cache.cache_size = 140;
      const AttentionStream bounded = run_on(setting, device(), blocks_of(130, each), 130, 4);
      ASSERT_EQ(bounded.out.size(), whole.out.size());
      for (std::size_t i = 0; i < whole.out.size(); ++i)
        ASSERT_NEAR(bounded.out[i], whole.out[i], kAttentionTolerance) << i;
      const std::uint64_t n_groups = is_head_wise(cache.policy) ? 2 : 1;
      EXPECT_EQ(sum(bounded.n_attended), n_groups * sum(whole.n_attended));
      for (const Left& left : bounded.left) EXPECT_EQ(left.step, left.position + 25);
    }
  }
}

// Bytes of a state of 512 tokens with one of two layers of a window of 25.
TEST_P(MixedLayers, TakeMemoryForTheWindowAlone) {
  const auto bytes = [](const std::vector<LayerShape>& layers, std::int32_t size) {
    AttentionSetting setting{.layers = layers, .cache = {.cache_size = size}};
    setting.device = device();
    setting.device_bytes = std::uint64_t{512} << 20;
    return AttentionDevice(setting).backend().state_bytes();
  };
  const std::uint64_t plain = bytes({kPlain, kPlain}, 512), small = bytes({kPlain, kPlain}, 25);
  EXPECT_EQ(bytes({kPlain, kWindowed}, 512), plain / 2 + small / 2);
  EXPECT_EQ(bytes({kWindowed, kWindowed}, 512), small);
  EXPECT_EQ(bytes({kWindowed, kWindowed}, 25), small);
  EXPECT_EQ(bytes({kWindowed, kWindowed}, 16), bytes({kPlain, kPlain}, 16));
}

INSTANTIATE_TEST_SUITE_P(Devices, MixedLayers, ::testing::Values(DeviceKind::cpu, DeviceKind::cuda),
                         [](const auto& info) { return std::string(name_of(info.param)); });
INSTANTIATE_TEST_SUITE_P(Devices, EveryDevice,
                         ::testing::Values(DeviceKind::reference, DeviceKind::cpu,
                                           DeviceKind::cuda),
                         [](const auto& info) { return std::string(name_of(info.param)); });

}  // namespace
}  // namespace tovamill::testing
