// What tests of attention share: blocks of a size, a stream on a device, and how near two runs of
// it must be.
#pragma once

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <numeric>
#include <string>
#include <utility>
#include <vector>

#include "kernels/types/error.h"
#include "tests/support/attention/attention_streams.h"
#include "tests/support/attention/near.h"

namespace tovamill::testing {

// Means of values near 1 by weights that sum to 1: what scores lose (sums of up to 256 products of
// some units, in float32) comes in as a factor of the weights.
inline constexpr double kAttentionTolerance = 2e-5;

// How far a result may be off beside that, in eps of bf16. It is rounded to bf16, half an eps of
// itself (of 2 where it is small: what it is the mean of is not); on a GPU so are the weights, but
// for blocks of one token.
struct Tier {
  bool is_bf16 = false, rounds_weights = false;
  bool merges = false;  // some logits have biases, which are logarithms of sums in float32
  double bound(double expected) const {
    if (!is_bf16) return merges ? 2 * kAttentionTolerance : kAttentionTolerance;
    return kEpsBf16 * (std::max(std::abs(expected), 2.0) + (rounds_weights ? 1 : 0));
  }
};
inline Tier tier_of(DeviceKind device, ComputeType dtype) {
  return {dtype == ComputeType::bf16, device == DeviceKind::cuda};
}

inline std::vector<NextBlock> blocks_of(std::int32_t n_tokens, std::int32_t each,
                                        std::int32_t pin = 0) {
  std::vector<NextBlock> blocks;
  for (; n_tokens > 0; n_tokens -= each)
    blocks.push_back({.n_tokens = std::min(n_tokens, each), .pin = pin});
  return blocks;
}

inline AttentionStream run_on(AttentionSetting setting, DeviceKind device,
                              std::vector<NextBlock> blocks, std::int64_t n_tokens,
                              std::uint32_t seed) {
  setting.device = device;
  AttentionDevice d(setting);
  AttentionStream stream{.input = d.input(n_tokens, seed), .blocks = std::move(blocks)};
  d.run(stream);
  return stream;
}

inline void expect_near(const AttentionStream& actual, const AttentionStream& expected,
                        const Tier& tier = {}) {
  EXPECT_EQ(actual.left, expected.left);
  ASSERT_EQ(actual.out.size(), expected.out.size());
  double worst = 0;  // as a share of what it may be
  for (std::size_t i = 0; i < actual.out.size(); ++i) {
    const double off = std::abs(actual.out[i] - expected.out[i]) / tier.bound(expected.out[i]);
    if (!(off <= worst)) worst = off;
  }
  EXPECT_LE(worst, 1.0);
  ASSERT_EQ(actual.weights.size(), expected.weights.size());
  // Weights are sums in float32; of keys and queries that are rounded, where those are rotated.
  for (std::size_t i = 0; i < actual.weights.size(); ++i)
    ASSERT_NEAR(actual.weights[i], expected.weights[i],
                tier.is_bf16 && tier.rounds_weights ? 1e-4 : kAttentionTolerance);
}

inline std::uint64_t sum(const std::vector<std::uint64_t>& n) {
  return std::accumulate(n.begin(), n.end(), std::uint64_t{0});
}

// A test for each fast device; it skips where there is none.
class OnFastDevices : public ::testing::TestWithParam<DeviceKind> {
 protected:
  void SetUp() override {
    if (devices({GetParam()}).empty()) GTEST_SKIP() << "no GPU";
  }
  static DeviceKind device() { return GetParam(); }
  // Runs a check with every dtype that the device can.
  template <class Check>
  static void for_each_dtype(Check&& check) {
    for (const ComputeType dtype : {ComputeType::f32, ComputeType::bf16}) {
      try {
        check(dtype);
      } catch (const Error& e) {
        if (dtype != ComputeType::bf16 || e.code() != ExitCode::configuration) throw;
        GTEST_SKIP() << e.what();  // a CPU that cannot multiply bf16
      }
    }
  }
};

}  // namespace tovamill::testing
