// Attention of the fast backends against the reference: every policy, kind of positions and size of
// blocks. Where a GPU is emulated, the threads of a block run in any order.

#include <gtest/gtest.h>

#include "kernels/types/model_limits.h"
#include "tests/support/attention/attention_checks.h"

namespace tovamill::testing {
namespace {

constexpr std::int32_t kCache = 40;

class Attention : public OnFastDevices {
 protected:
  static void expect_reference(const AttentionSetting& setting,
                               const std::vector<NextBlock>& blocks, std::int64_t n_tokens,
                               std::uint32_t seed) {
    const AttentionStream actual = run_on(setting, device(), blocks, n_tokens, seed),
                          expected = run_on(setting, DeviceKind::reference, blocks, n_tokens, seed);
    expect_near(actual, expected, tier_of(device(), setting.dtype));
    EXPECT_EQ(actual.n_attended, expected.n_attended);
  }
};

TEST_P(Attention, EqualsTheReferenceInBlocksOfAnySize) {
  std::size_t n_settings = 0;
  for (const NamedCache& p : all_policies(kCache)) {
    for (const std::int32_t each : {1, 7, 90}) {
      if (!runs_on(device(), n_settings++, 7)) continue;
      SCOPED_TRACE(p.name + " " + std::to_string(each));
      const AttentionSetting setting{.cache = p.cache};
      expect_reference(setting, blocks_of(90, each), 90, 1);
    }
  }
}

TEST_P(Attention, EqualsTheReferenceAcrossGroupsOfPositions) {
  std::size_t n_settings = 0;
  for (const NamedCache& p : all_policies(kCache)) {
    for (const Positions positions :
         {Positions::clipped, Positions::absolute, Positions::in_state}) {
      for (const std::int32_t sliding_window : {0, 25}) {
        if (!runs_on(device(), n_settings++, 29)) continue;
        SCOPED_TRACE(p.name + " " + std::string(name_of(positions)) + " " +
                     std::to_string(sliding_window));
        AttentionSetting setting{.sliding_window = sliding_window, .cache = p.cache};
        setting.cache.positions = positions;
        setting.cache.clip_distance = positions == Positions::clipped ? 100 : 0;
        expect_reference(setting, blocks_of(330, 90), 330, 2);
      }
    }
  }
}

TEST_P(Attention, EqualsTheReferenceAtAllHeadSizesAndTypes) {
  std::size_t n_settings = 0;
  for_each_dtype([&](ComputeType dtype) {
    for (const std::int32_t head_dim : {10, 16, 64, 80, 128, 256}) {
      for (const std::int32_t per_kv : {1, 3, 5}) {
        for (const std::int32_t each : {1, 45}) {
          if (!runs_on(device(), n_settings++, 13)) continue;
          SCOPED_TRACE(std::string(name_of(dtype)) + " " + std::to_string(head_dim) + " x " +
                       std::to_string(per_kv) + " in blocks of " + std::to_string(each));
          const AttentionSetting setting{.head_dim = head_dim,
                                         .per_kv = per_kv,
                                         .rotates = dtype == ComputeType::f32,
                                         .cache = {.cache_size = kCache},
                                         .dtype = dtype};
          expect_reference(setting, blocks_of(60, each), 60, 3);
        }
      }
    }
  });
}

// Heads that a GPU's block takes in parts, and with more shared memory than usual.
TEST_P(Attention, EqualsTheReferenceWithWideHeads) {
  struct Case {
    std::int32_t head_dim, per_kv, each, cache_size, n_tokens;
  };
  for_each_dtype([&](ComputeType dtype) {
    for (const Case& c :
         {Case{258, 1, 30, 20, 30}, Case{320, 6, 1, 6, 9}, Case{512, 2, 14, 10, 14}}) {
      SCOPED_TRACE(std::string(name_of(dtype)) + " " + std::to_string(c.head_dim) + " x " +
                   std::to_string(c.per_kv));
      const AttentionSetting setting{.head_dim = c.head_dim,
                                     .per_kv = c.per_kv,
                                     .rotates = dtype == ComputeType::f32,
                                     .cache = {.cache_size = c.cache_size},
                                     .dtype = dtype};
      expect_reference(setting, blocks_of(c.n_tokens, c.each), c.n_tokens, 4);
    }
  });
}

// An eviction scan on a GPU holds up to 384, 768 and 1,152 slots in registers, and sums up to 1,536
// in shared memory.
TEST_P(Attention, EqualsTheReferenceWithLargeStates) {
  std::size_t n_settings = 0;
  for (const Policy policy : {Policy::tova, Policy::tova_ema, Policy::tova_head}) {
    for (const std::int32_t cache_size : {300, 420, 800, 1100, 1400}) {
      // On the CPU all sizes are alike.
      if (device() == DeviceKind::cpu ? cache_size != 300
                                      : !runs_on(device(), n_settings++, kNever))
        continue;
      SCOPED_TRACE(std::string(name_of(policy)) + " " + std::to_string(cache_size));
      const AttentionSetting setting{.per_kv = 3,
                                     .cache = {.policy = policy, .cache_size = cache_size},
                                     .device = device(),
                                     .device_bytes = 2 * kTestDeviceBytes};
      const std::int32_t n_tokens = cache_size + 40;
      expect_reference(setting, blocks_of(n_tokens, 190), n_tokens, 5);
    }
  }
}

// No backend holds what it has of each head in less room than a configuration may ask for.
TEST_P(Attention, EqualsTheReferenceWithAsManyHeadsAsAModelMayHave) {
  struct Case {
    std::int32_t n_kv_heads, per_kv;
    Policy policy = Policy::tova;
  };
  std::size_t n_settings = 0;
  for (const std::int32_t each : {5, 1}) {
    for (const Case& c :
         {Case{1, 2048}, Case{25, 41}, Case{1025, 1, Policy::tova_head}, Case{16, 128},
          Case{64, 64, Policy::tova_ema}, Case{kMaxHeads, 1}, Case{1, kMaxHeads}}) {
      if (!runs_on(device(), n_settings++, 13)) continue;
      SCOPED_TRACE(std::to_string(c.n_kv_heads) + " x " + std::to_string(c.per_kv) +
                   " heads in blocks of " + std::to_string(each));
      const AttentionSetting setting{.head_dim = 2,
                                     .n_kv_heads = c.n_kv_heads,
                                     .per_kv = c.per_kv,
                                     .cache = {.policy = c.policy, .cache_size = 6},
                                     .device_bytes = std::uint64_t{1} << 30,
                                     .max_rows = 16};
      expect_reference(setting, blocks_of(10, each), 10, 6);
    }
  }
}

INSTANTIATE_TEST_SUITE_P(Devices, Attention, ::testing::Values(DeviceKind::cpu, DeviceKind::cuda),
                         [](const auto& info) { return std::string(name_of(info.param)); });

}  // namespace
}  // namespace tovamill::testing
