// Attention of the CUDA backend against the reference: every policy, kind of positions and size of
// blocks. Where it is emulated, the threads of a block run in any order.

#include <gtest/gtest.h>

#include "tests/support/attention_streams.h"
#include "tests/support/near.h"

namespace tovamill::testing {
namespace {

constexpr std::int32_t kCache = 40;
constexpr double kOutTolerance = 2e-5;
// Results are rounded to bf16, half an eps of up to 4, and so are the weights that they are made
// of.
constexpr double kBf16Tolerance = 3 * kEpsBf16;

std::vector<NextBlock> blocks_of(std::int32_t n_tokens, std::int32_t each) {
  std::vector<NextBlock> blocks;
  for (; n_tokens > 0; n_tokens -= each) blocks.push_back({.n_tokens = std::min(n_tokens, each)});
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
  EXPECT_EQ(actual.n_attended, expected.n_attended);
  ASSERT_EQ(actual.out.size(), expected.out.size());
  double worst = 0;
  for (std::size_t i = 0; i < actual.out.size(); ++i) {
    const double difference = std::abs(actual.out[i] - expected.out[i]);
    if (!(difference <= worst)) worst = difference;
  }
  EXPECT_LE(worst, is_bf16 ? kBf16Tolerance : kOutTolerance);
  ASSERT_EQ(actual.weights.size(), expected.weights.size());
  for (std::size_t i = 0; i < actual.weights.size(); ++i)
    ASSERT_NEAR(actual.weights[i], expected.weights[i], is_bf16 ? 1e-4 : kOutTolerance);
}

class CudaAttention : public ::testing::Test {
 protected:
  void SetUp() override {
    if (devices({"cuda"}).empty()) GTEST_SKIP() << "no GPU";
  }
};

TEST_F(CudaAttention, EqualsTheReferenceInBlocksOfAnySize) {
  std::size_t n_settings = 0;
  for (const NamedCache& p : all_policies(kCache)) {
    for (const std::int32_t each : {1, 7, 90}) {
      if (!runs_on("cuda", n_settings++, 4)) continue;
      SCOPED_TRACE(p.name + " " + std::to_string(each));
      const AttentionSetting setting{.cache = p.cache};
      expect_same(run(setting, "cuda", blocks_of(90, each), 90, 1),
                  run(setting, "reference", blocks_of(90, each), 90, 1), false);
    }
  }
}

TEST_F(CudaAttention, EqualsTheReferenceAcrossGroupsOfPositions) {
  std::size_t n_settings = 0;
  for (const NamedCache& p : all_policies(kCache)) {
    for (const Positions positions :
         {Positions::clipped, Positions::absolute, Positions::in_state}) {
      for (const std::int32_t sliding_window : {0, 25}) {
        if (!runs_on("cuda", n_settings++, 13)) continue;
        SCOPED_TRACE(p.name + " " + std::string(name_of(positions)) + " " +
                     std::to_string(sliding_window));
        AttentionSetting setting{.sliding_window = sliding_window, .cache = p.cache};
        setting.cache.positions = positions;
        setting.cache.clip_distance = positions == Positions::clipped ? 100 : 0;
        const auto blocks = blocks_of(330, 90);
        expect_same(run(setting, "cuda", blocks, 330, 2), run(setting, "reference", blocks, 330, 2),
                    false);
      }
    }
  }
}

TEST_F(CudaAttention, EqualsTheReferenceAtAllHeadSizesAndTypes) {
  std::size_t n_settings = 0;
  for (const std::string dtype : {"f32", "bf16"}) {
    for (const std::int32_t head_dim : {10, 16, 64, 80, 128, 256}) {
      for (const std::int32_t per_kv : {1, 3, 5}) {
        for (const std::int32_t each : {1, 45}) {
          if (!runs_on("cuda", n_settings++, 7)) continue;
          SCOPED_TRACE(dtype + " " + std::to_string(head_dim) + " x " + std::to_string(per_kv) +
                       " in blocks of " + std::to_string(each));
          const AttentionSetting setting{.head_dim = head_dim,
                                         .per_kv = per_kv,
                                         .rotates = dtype == "f32",
                                         .cache = {.cache_size = kCache},
                                         .dtype = dtype};
          expect_same(run(setting, "cuda", blocks_of(60, each), 60, 3),
                      run(setting, "reference", blocks_of(60, each), 60, 3), dtype == "bf16");
        }
      }
    }
  }
}

}  // namespace
}  // namespace tovamill::testing
