// Blocks of one token (kernels/cpu/attention_decode.cc) against the reference and against longer
// blocks of the same stream, beside other streams and with other numbers of threads.

#include <gtest/gtest.h>

#include "kernels/error.h"
#include "tests/support/attention_streams.h"
#include "tests/support/near.h"

namespace tovamill::testing {
namespace {

constexpr std::int32_t kCache = 40;
// Means of values near 1 by weights that sum to 1: what scores lose (sums of up to 128 products of
// some units, in float32) comes in as a factor of the weights.
constexpr double kOutTolerance = 2e-5;
// Results are rounded to bf16: half an eps of up to 4.
constexpr double kBf16Tolerance = 2 * kEpsBf16;

std::vector<NextBlock> blocks_of(std::int32_t n_tokens, std::int32_t each, std::int32_t pin = 0) {
  std::vector<NextBlock> blocks;
  for (; n_tokens > 0; n_tokens -= each)
    blocks.push_back({.n_tokens = std::min(n_tokens, each), .pin = pin});
  return blocks;
}

AttentionStream run(AttentionSetting setting, const std::string& device,
                    std::vector<NextBlock> blocks, std::int64_t n_tokens, std::uint32_t seed) {
  setting.device = device;
  AttentionDevice d(setting);
  AttentionStream stream{.input = d.input(n_tokens, seed), .blocks = std::move(blocks)};
  d.run(stream);
  return stream;
}

void expect_same(const AttentionStream& actual, const AttentionStream& expected, bool is_bf16) {
  EXPECT_EQ(actual.left, expected.left);
  ASSERT_EQ(actual.out.size(), expected.out.size());
  double worst = 0;
  for (std::size_t i = 0; i < actual.out.size(); ++i) {
    const double difference = std::abs(actual.out[i] - expected.out[i]);
    if (!(difference <= worst)) worst = difference;
  }
  EXPECT_LE(worst, is_bf16 ? kBf16Tolerance : kOutTolerance);
  ASSERT_EQ(actual.weights.size(), expected.weights.size());
  for (std::size_t i = 0; i < actual.weights.size(); ++i)
    ASSERT_NEAR(actual.weights[i], expected.weights[i], kOutTolerance);
}

std::uint64_t sum(const std::vector<std::uint64_t>& n) {
  std::uint64_t sum = 0;
  for (const std::uint64_t x : n) sum += x;
  return sum;
}

// Runs a check with every dtype that this CPU can.
template <class Check>
void for_each_dtype(Check&& check) {
  for (const char* dtype : {"f32", "bf16"}) {
    try {
      check(std::string(dtype));
    } catch (const Error& e) {
      if (std::string(dtype) != "bf16" || e.code() != ExitCode::configuration) throw;
      GTEST_SKIP() << e.what();  // a CPU that cannot multiply bf16
    }
  }
}

// Without rotation both read the same keys in bf16, too.
TEST(Decode, EqualsTheReferenceAtAllHeadSizes) {
  for_each_dtype([](const std::string& dtype) {
    for (const std::int32_t head_dim : {16, 64, 80, 128}) {
      for (const std::int32_t per_kv : {1, 3}) {
        for (const NamedCache& p : all_policies(kCache)) {
          SCOPED_TRACE(p.name + " " + dtype + " " + std::to_string(head_dim) + " x " +
                       std::to_string(per_kv));
          const AttentionSetting setting{.head_dim = head_dim,
                                         .per_kv = per_kv,
                                         .rotates = dtype == "f32",
                                         .cache = p.cache,
                                         .dtype = dtype};
          const auto blocks = blocks_of(90, 1);
          const AttentionStream expected = run(setting, "reference", blocks, 90, 1),
                                actual = run(setting, "cpu", blocks, 90, 1);
          expect_same(actual, expected, dtype == "bf16");
          EXPECT_EQ(actual.n_attended, expected.n_attended);
        }
      }
    }
  });
}

// Positions change at 256; the last tokens come in longer blocks again.
TEST(Decode, EqualsTilesAcrossGroupsOfPositions) {
  for_each_dtype([](const std::string& dtype) {
    for (const NamedCache& p : all_policies(kCache)) {
      for (const Positions positions :
           {Positions::clipped, Positions::absolute, Positions::in_state}) {
        for (const std::int32_t sliding_window : {0, 25}) {
          SCOPED_TRACE(p.name + " " + dtype + " " + std::string(name_of(positions)) + " " +
                       std::to_string(sliding_window));
          AttentionSetting setting{
              .sliding_window = sliding_window, .cache = p.cache, .dtype = dtype};
          setting.cache.positions = positions;
          setting.cache.clip_distance = positions == Positions::clipped ? 100 : 0;
          const AttentionStream expected = run(setting, "cpu", blocks_of(560, 80), 560, 2);
          std::vector<NextBlock> blocks = blocks_of(230, 46);
          blocks.insert(blocks.end(), 300, NextBlock{});
          blocks.push_back({.n_tokens = 30});
          const AttentionStream actual = run(setting, "cpu", blocks, 560, 2);
          expect_same(actual, expected, dtype == "bf16");
          EXPECT_EQ(sum(actual.n_attended), sum(expected.n_attended));
        }
      }
    }
  });
}

// In blocks of one and of many, pins hold under every policy.
TEST(Decode, KeepsPinnedTokensAsTheReferenceDoes) {
  for (const NamedCache& p : all_policies(kCache)) {
    for (const std::int32_t pin : {1, 7, kCache - 1}) {
      for (const std::int32_t each : {1, 30}) {
        SCOPED_TRACE(p.name + " pin " + std::to_string(pin) + " in blocks of " +
                     std::to_string(each));
        const AttentionSetting setting{.cache = p.cache};
        const auto blocks = blocks_of(120, each, pin);
        const AttentionStream expected = run(setting, "reference", blocks, 120, 3),
                              actual = run(setting, "cpu", blocks, 120, 3);
        expect_same(actual, expected, false);
        EXPECT_EQ(actual.n_attended, expected.n_attended);
        for (const Left& left : expected.left) EXPECT_GE(left.position, pin);
        EXPECT_EQ(expected.left.empty(), p.cache.policy == Policy::full);
      }
    }
  }
}

// Tokens with equal keys have equal weights: the oldest leaves, with every number of columns.
TEST(Decode, LetsTheOldestOfEqualsGo) {
  for (const Policy policy : {Policy::tova, Policy::tova_head}) {
    AttentionDevice device({.head_dim = 22, .cache = {.policy = policy, .cache_size = 13}});
    AttentionStream stream{.input = device.input(60, 4, 0.0f), .blocks = blocks_of(60, 1)};
    device.run(stream);
    for (const Left& left : stream.left) EXPECT_EQ(left.position, left.step - 13);
    EXPECT_FALSE(stream.left.empty());
  }
}

TEST(Decode, DoesNotMindNumbersThatAreNone) {
  AttentionDevice device({.cache = {.cache_size = 5}});
  AttentionStream stream{.input = device.input(12, 5), .blocks = blocks_of(12, 1)};
  const float nan = std::nanf("");
  for (std::size_t i = 0; i < static_cast<std::size_t>(device.row()); ++i)
    stream.input[0][7 * static_cast<std::size_t>(device.row()) + i] = nan;
  device.run(stream);
  EXPECT_EQ(device.backend().read_positions(*stream.state, 0, 0).size(), 5u);
  EXPECT_EQ(device.backend().read_positions(*stream.state, 1, 0).size(), 5u);
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

TEST(Decode, GivesTheSameBitsBesideOtherStreamsAndWithAnyNumberOfThreads) {
  for_each_dtype([](const std::string& dtype) {
    for (const NamedCache& p : all_policies(kCache)) {
      SCOPED_TRACE(p.name + " " + dtype);
      AttentionDevice one({.cache = p.cache, .dtype = dtype, .n_threads = 1});
      std::vector<AttentionStream> expected = mixture(one);
      for (AttentionStream& s : expected) one.run(s);
      for (const int n_threads : {1, 2, 3}) {
        AttentionDevice device({.cache = p.cache, .dtype = dtype, .n_threads = n_threads});
        std::vector<AttentionStream> streams = mixture(device);
        std::vector<AttentionStream*> all;
        for (AttentionStream& s : streams) all.push_back(&s);
        for (int step = 0; step < 60; ++step) device.step(all);
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

}  // namespace
}  // namespace tovamill::testing
