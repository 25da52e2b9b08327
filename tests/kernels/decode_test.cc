// Blocks of one token against the reference and against longer blocks of the same stream, beside
// other streams and with other numbers of threads.

#include <gtest/gtest.h>

#include <limits>

#include "tests/support/attention/attention_checks.h"

namespace tovamill::testing {
namespace {

constexpr std::int32_t kCache = 40;

using Decode = OnFastDevices;

// Without rotation both read the same keys in bf16, too.
TEST_P(Decode, EqualsTheReferenceAtAllHeadSizes) {
  std::size_t n_settings = 0;
  for_each_dtype([&](ComputeType dtype) {
    for (const std::int32_t head_dim : {16, 64, 80, 128}) {
      for (const std::int32_t per_kv : {1, 3}) {
        for (const NamedCache& p : all_policies(kCache)) {
          if (!runs_on(device(), n_settings++, 59)) continue;
          SCOPED_TRACE(p.name + " " + std::string(name_of(dtype)) + " " + std::to_string(head_dim) +
                       " x " + std::to_string(per_kv));
          const AttentionSetting setting{.head_dim = head_dim,
                                         .per_kv = per_kv,
                                         .rotates = dtype == ComputeType::f32,
                                         .cache = p.cache,
                                         .dtype = dtype};
          const auto blocks = blocks_of(90, 1);
          const AttentionStream expected = run_on(setting, DeviceKind::reference, blocks, 90, 1),
                                actual = run_on(setting, device(), blocks, 90, 1);
          expect_near(actual, expected, tier_of(device(), dtype));
          EXPECT_EQ(actual.n_attended, expected.n_attended);
        }
      }
    }
  });
}

// Positions change at 256; the last tokens come in longer blocks again.
TEST_P(Decode, EqualsTilesAcrossGroupsOfPositions) {
  std::size_t n_settings = 0;
  for_each_dtype([&](ComputeType dtype) {
    for (const NamedCache& p : all_policies(kCache)) {
      for (const Positions positions :
           {Positions::clipped, Positions::absolute, Positions::in_state}) {
        for (const std::int32_t sliding_window : {0, 25}) {
          if (!runs_on(device(), n_settings++, kNever)) continue;
          SCOPED_TRACE(p.name + " " + std::string(name_of(dtype)) + " " +
                       std::string(name_of(positions)) + " " + std::to_string(sliding_window));
          AttentionSetting setting{
              .sliding_window = sliding_window, .cache = p.cache, .dtype = dtype};
          setting.cache.positions = positions;
          setting.cache.clip_distance = positions == Positions::clipped ? 100 : 0;
          const AttentionStream expected = run_on(setting, device(), blocks_of(560, 80), 560, 2);
          std::vector<NextBlock> blocks = blocks_of(230, 46);
          blocks.insert(blocks.end(), 300, NextBlock{});
          blocks.push_back({.n_tokens = 30});
          const AttentionStream actual = run_on(setting, device(), blocks, 560, 2);
          expect_near(actual, expected, tier_of(device(), dtype));
          EXPECT_EQ(sum(actual.n_attended), sum(expected.n_attended));
        }
      }
    }
  });
}

// In blocks of one and of many, pins hold under every policy.
TEST_P(Decode, KeepsPinnedTokensAsTheReferenceDoes) {
  std::size_t n_settings = 0;
  for (const NamedCache& p : all_policies(kCache)) {
    for (const std::int32_t pin : {1, 7, kCache - 1}) {
      for (const std::int32_t each : {1, 30}) {
        if (!runs_on(device(), n_settings++, 37)) continue;
        SCOPED_TRACE(p.name + " pin " + std::to_string(pin) + " in blocks of " +
                     std::to_string(each));
        const AttentionSetting setting{.cache = p.cache};
        const auto blocks = blocks_of(120, each, pin);
        const AttentionStream expected = run_on(setting, DeviceKind::reference, blocks, 120, 3),
                              actual = run_on(setting, device(), blocks, 120, 3);
        expect_near(actual, expected);
        EXPECT_EQ(actual.n_attended, expected.n_attended);
        for (const Left& left : expected.left) EXPECT_GE(left.position, pin);
        EXPECT_EQ(expected.left.empty(), p.cache.policy == Policy::full);
      }
    }
  }
}

// Tokens with equal keys have equal weights: the oldest leaves, with every number of slots.
TEST_P(Decode, LetsTheOldestOfEqualsGo) {
  for (const Policy policy : {Policy::tova, Policy::tova_head}) {
    AttentionDevice d(
        {.head_dim = 22, .cache = {.policy = policy, .cache_size = 13}, .device = device()});
    AttentionStream stream{.input = d.input(60, 4, 0.0f), .blocks = blocks_of(60, 1)};
    d.run(stream);
    for (const Left& left : stream.left) EXPECT_EQ(left.position, left.step - 13);
    EXPECT_FALSE(stream.left.empty());
  }
}

TEST_P(Decode, DoesNotMindNumbersThatAreNone) {
  AttentionDevice d({.cache = {.cache_size = 5}, .device = device()});
  AttentionStream stream{.input = d.input(12, 5), .blocks = blocks_of(12, 1)};
  const float nan = std::numeric_limits<float>::quiet_NaN();
  for (std::size_t i = 0; i < static_cast<std::size_t>(d.row()); ++i)
    stream.input[0][7 * static_cast<std::size_t>(d.row()) + i] = nan;
  d.run(stream);
  EXPECT_EQ(d.backend().read_positions(*stream.state, 0, 0).size(), 5u);
  EXPECT_EQ(d.backend().read_positions(*stream.state, 1, 0).size(), 5u);
}

// Streams that read and streams that write in any order within a step.
std::vector<AttentionStream> mixture(AttentionDevice& device) {
  std::vector<AttentionStream> streams;
  for (std::uint32_t i = 0; i < 7; ++i) {
    AttentionStream s{.input = device.input(300, 10 + i), .blocks = {}};
    switch (i % 4) {
      case 0:
        s.blocks = blocks_of(40, 1);
        break;
      case 1:
        s.blocks = blocks_of(240, 64);
        s.blocks.insert(s.blocks.end(), 30, NextBlock{});
        break;
      case 2:
        s.blocks = blocks_of(161, 32);  // its last block has one token
        break;
      default:
        s.blocks = {{.n_tokens = 100, .keeps_all = true}, {.n_tokens = 50, .keeps_all = true}};
        s.blocks.insert(s.blocks.end(), 20, NextBlock{});
        break;
    }
    streams.push_back(std::move(s));
  }
  return streams;
}

TEST_P(Decode, GivesTheSameBitsBesideOtherStreamsAndWithAnyNumberOfThreads) {
  std::size_t n_settings = 0;
  for_each_dtype([&](ComputeType dtype) {
    for (const NamedCache& p : all_policies(kCache)) {
      if (!runs_on(device(), n_settings++, kNever)) continue;
      SCOPED_TRACE(p.name + " " + std::string(name_of(dtype)));
      AttentionDevice one({.cache = p.cache, .device = device(), .dtype = dtype, .n_threads = 1});
      std::vector<AttentionStream> expected = mixture(one);
      for (AttentionStream& s : expected) one.run(s);
      for (const int n_threads : {1, 2, 3}) {
        AttentionDevice d(
            {.cache = p.cache, .device = device(), .dtype = dtype, .n_threads = n_threads});
        std::vector<AttentionStream> streams = mixture(d);
        std::vector<AttentionStream*> all;
        for (AttentionStream& s : streams) all.push_back(&s);
        for (int step = 0; step < 60; ++step) d.step(all);
        for (std::size_t i = 0; i < streams.size(); ++i) {
          AttentionDevice::sort(streams[i]);
          EXPECT_EQ(streams[i].out, expected[i].out) << i << " with " << n_threads;
          EXPECT_EQ(streams[i].left, expected[i].left) << i << " with " << n_threads;
          EXPECT_EQ(streams[i].weights, expected[i].weights) << i << " with " << n_threads;
        }
      }
    }
  });
}

INSTANTIATE_TEST_SUITE_P(Devices, Decode, ::testing::Values(DeviceKind::cpu, DeviceKind::cuda),
                         [](const auto& info) { return std::string(name_of(info.param)); });

}  // namespace
}  // namespace tovamill::testing
