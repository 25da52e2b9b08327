// Blocks in which nothing leaves (StepBlock::keeps_all), the token that brings a state down, what
// states take in memory, their copies, and grown states that are saved.

#include <gtest/gtest.h>

#include <algorithm>
#include <numeric>

#include "kernels/cpu/state.h"
#include "kernels/types/error.h"
#include "tests/support/attention/attention_streams.h"
#include "tests/support/attention/near.h"
#include "tests/support/error_of.h"
#include "tests/support/row_step.h"

namespace tovamill::testing {
namespace {

constexpr std::int32_t kCache = 40;
// As in decode_test.cc: means of values near 1 by weights with float32's error.
constexpr double kOutTolerance = 2e-5;

// 300 tokens of which nothing leaves, one that brings the state down, 30 more in blocks of one and
// of several.
std::vector<NextBlock> prompt_and_answer(std::int32_t pin) {
  std::vector<NextBlock> blocks;
  for (const std::int32_t n : {100, 1, 170, 29})
    blocks.push_back({.n_tokens = n, .pin = pin, .keeps_all = true});
  for (const std::int32_t n : {1, 1, 1, 20, 1, 7}) blocks.push_back({.n_tokens = n, .pin = pin});
  return blocks;
}

// What states take: as one of the CPU says, and of a GPU's memory what is taken beside the
// workspace.
class StateMemory {
 public:
  explicit StateMemory(const Backend& backend)
      : backend_(backend), left_(left() + backend.workspace_bytes()) {}
  std::uint64_t of(const StreamState& state) const {
    const auto* own = dynamic_cast<const cpu::CpuState*>(&state);
    return own != nullptr ? own->n_bytes() : left_ - left() - backend_.workspace_bytes();
  }

 private:
  std::uint64_t left() const { return backend_.device().device_bytes_left().value_or(0); }
  const Backend& backend_;
  std::uint64_t left_;  // with no state, and no workspace
};

std::vector<std::int32_t> positions(AttentionDevice& device, const AttentionStream& s) {
  return device.backend().read_positions(*s.state, 0, 0);
}

TEST(GrownState, IsBroughtDownAsInTheReference) {
  std::size_t n_settings = 0;
  for (const DeviceKind device : devices({DeviceKind::cpu, DeviceKind::cuda})) {
    for (const NamedCache& p : all_policies(kCache)) {
      for (const Positions at : {Positions::clipped, Positions::absolute, Positions::in_state}) {
        for (const std::int32_t pin : {0, 7}) {
          for (const std::int32_t sliding_window : {0, 120}) {
            if ((pin == 0 || sliding_window > 0) && at != Positions::clipped) continue;
            if (n_settings++ % testing::row_step(5) != 0 || !runs_on(device, 1, kNever)) continue;
            SCOPED_TRACE(p.name + " " + std::string(name_of(device)) + " " +
                         std::string(name_of(at)) + " pin " + std::to_string(pin) + " " +
                         std::to_string(sliding_window));
            AttentionSetting setting{
                .sliding_window = sliding_window, .cache = p.cache, .device = device};
            setting.cache.positions = at;
            setting.cache.clip_distance = at == Positions::clipped ? 100 : 0;
            AttentionDevice fast(setting);
            setting.device = DeviceKind::reference;
            AttentionDevice reference(setting);
            AttentionStream actual{.input = fast.input(331, 1), .blocks = prompt_and_answer(pin)},
                expected{.input = actual.input, .blocks = actual.blocks};
            fast.run(actual);
            reference.run(expected);
            EXPECT_EQ(actual.left, expected.left);
            EXPECT_EQ(actual.n_attended, expected.n_attended);
            ASSERT_EQ(actual.out.size(), expected.out.size());
            for (std::size_t i = 0; i < actual.out.size(); ++i)
              ASSERT_NEAR(actual.out[i], expected.out[i], kOutTolerance) << i;
            EXPECT_EQ(positions(fast, actual), positions(reference, expected));
            if (!is_bounded(p.cache)) continue;
            EXPECT_EQ(positions(fast, actual).size(), static_cast<std::size_t>(kCache));
            EXPECT_EQ(expected.left.front().step, 300);
          }
        }
      }
    }
  }
}

// What does not depend on what is around: 100 tokens are attended to by the last of them alone as
// under `full`.
TEST(GrownState, AttendsAsFullDoes) {
  AttentionDevice tova({.cache = {.cache_size = 10}}), full({.cache = {.policy = Policy::full}});
  AttentionStream grown{.input = tova.input(400, 2),
                        .blocks = {{.n_tokens = 399, .keeps_all = true}, {.n_tokens = 1}}},
      whole{.input = grown.input, .blocks = {{.n_tokens = 399}, {.n_tokens = 1}}};
  tova.run(grown);
  full.run(whole);
  EXPECT_EQ(grown.out, whole.out);
  EXPECT_EQ(grown.n_attended, whole.n_attended);
}

// All weights are equal: the oldest leave, but for those that are pinned.
TEST(GrownState, LetsTheOldestOfEqualsGo) {
  for (const DeviceKind device :
       devices({DeviceKind::cpu, DeviceKind::reference, DeviceKind::cuda})) {
    for (const Policy policy : {Policy::tova, Policy::tova_head, Policy::h2o, Policy::window}) {
      AttentionDevice d({.cache = {.policy = policy, .cache_size = 10}, .device = device});
      AttentionStream s{.input = d.input(51, 3, 0.0f),
                        .blocks = {{.n_tokens = 50, .pin = 3, .keeps_all = true}, {.pin = 3}}};
      d.run(s);
      EXPECT_EQ(positions(d, s), (std::vector<std::int32_t>{0, 1, 2, 44, 45, 46, 47, 48, 49, 50}));
      for (std::size_t i = 0; i < 41; ++i)
        EXPECT_EQ(s.left[i], (Left{0, 50, 0, 3 + static_cast<std::int32_t>(i)}));
    }
  }
}

TEST(GrownState, WantsOneTokenToComeDownAndFewPins) {
  for (const DeviceKind device :
       devices({DeviceKind::cpu, DeviceKind::reference, DeviceKind::cuda})) {
    AttentionDevice d({.cache = {.cache_size = 10}, .device = device});
    AttentionStream s{.input = d.input(60, 4),
                      .blocks = {{.n_tokens = 20, .keeps_all = true}, {.n_tokens = 2}}};
    error_of([&] { d.run(s); }, ExitCode::internal);
    AttentionStream pinned{.input = s.input, .blocks = {{.n_tokens = 5, .pin = 10}}};
    error_of([&] { d.run(pinned); }, ExitCode::internal);
  }
  AttentionDevice window({.cache = {.policy = Policy::window, .cache_size = 10}});
  AttentionStream s{.input = window.input(60, 4), .blocks = {{.n_tokens = 5}, {.pin = 2}}};
  error_of([&] { window.run(s); }, ExitCode::internal);
}

// Memory is what was announced, at every length, and goes back to that of a bounded state.
void expect_announced_memory(DeviceKind device, const CacheOptions& cache,
                             const std::vector<std::int32_t>& lengths) {
  AttentionDevice d({.cache = cache, .device = device, .device_bytes = 3 * kTestDeviceBytes});
  Backend& backend = d.backend();
  const StateMemory memory(backend);
  const std::uint64_t at_first = backend.state_bytes_for(0, false);
  for (const bool keeps_all : {true, false}) {
    AttentionStream s{.input = d.input(2000, 5), .blocks = {}, .state = backend.make_state()};
    EXPECT_EQ(memory.of(*s.state), at_first);
    std::int64_t n = 0;
    for (const std::int32_t more : lengths) {
      s.blocks.push_back({.n_tokens = more, .keeps_all = keeps_all});
      const std::uint64_t workspace = backend.workspace_bytes_for(n + more, keeps_all);
      EXPECT_GE(workspace, backend.workspace_bytes());
      d.run(s);
      n += more;
      EXPECT_EQ(backend.workspace_bytes(), workspace) << n;
      EXPECT_EQ(backend.n_tokens(*s.state), n);
      EXPECT_EQ(memory.of(*s.state), backend.state_bytes_for(n, keeps_all)) << n;
    }
    EXPECT_EQ(memory.of(*s.state) == at_first, is_bounded(cache) && !keeps_all);
    s.blocks.push_back({});
    d.run(s);
    if (is_bounded(cache)) {
      EXPECT_EQ(memory.of(*s.state), at_first);
    }
  }
  const auto state = backend.make_state();
  backend.reserve(*state, 1500, true);
  EXPECT_EQ(memory.of(*state), backend.state_bytes_for(1500, true));
  backend.reserve(*state, 1000, true);
  EXPECT_EQ(memory.of(*state), backend.state_bytes_for(1500, true));
  backend.reset(*state);
  EXPECT_EQ(memory.of(*state) == at_first, is_bounded(cache));
}

TEST(GrownState, TakesTheMemoryThatItIsSaidToTake) {
  for (const DeviceKind device : devices({DeviceKind::cpu, DeviceKind::cuda})) {
    std::size_t n_settings = 0;
    for (const NamedCache& p : all_policies(kCache)) {
      if (!runs_on(device, n_settings++, 16)) continue;
      SCOPED_TRACE(p.name + " " + std::string(name_of(device)));
      const bool is_fast = runs_on(device, 1, kNever);
      expect_announced_memory(device, p.cache,
                              is_fast ? std::vector<std::int32_t>{1, 200, 55, 1, 700, 900}
                                      : std::vector<std::int32_t>{1, 255, 10});
    }
  }
}

// A copy goes its own way, to the bit as if its stream had been the only one.
TEST(CopiedState, GoesItsOwnWay) {
  std::size_t n_settings = 0;
  for (const DeviceKind device :
       devices({DeviceKind::cpu, DeviceKind::reference, DeviceKind::cuda})) {
    for (const NamedCache& p : all_policies(kCache)) {
      for (const bool keeps_all : {false, true}) {
        for (const bool used : {false, true}) {
          if (n_settings++ % testing::row_step(5) != 0 || !runs_on(device, 1, kNever)) continue;
          SCOPED_TRACE(p.name + " " + std::string(name_of(device)) + (keeps_all ? " grown" : "") +
                       (used ? " used" : ""));
          AttentionDevice d({.cache = p.cache, .device = device});
          const std::int32_t n = device == DeviceKind::cpu ? 290 : 50;
          const AttentionInput one = d.input(n + 40, 6);
          AttentionInput other = d.input(n + 40, 7);
          for (std::size_t l = 0; l < one.size(); ++l)
            std::copy_n(one[l].begin(), n * d.row(), other[l].begin());
          const std::vector<NextBlock> prompt{{.n_tokens = n, .pin = 2, .keeps_all = keeps_all}},
              answer(40, {.pin = 2});
          std::vector<NextBlock> both = prompt;
          both.insert(both.end(), answer.begin(), answer.end());
          AttentionStream alone{.input = one, .blocks = both},
              alone_too{.input = other, .blocks = both};
          d.run(alone);
          d.run(alone_too);
          AttentionStream first{.input = one, .blocks = prompt},
              second{.input = other, .blocks = answer, .state = d.backend().make_state()};
          if (used) {
            AttentionStream before{.input = d.input(2 * n, 8),
                                   .blocks = {{.n_tokens = 2 * n, .keeps_all = true}},
                                   .state = std::move(second.state)};
            d.run(before);
            second.state = std::move(before.state);
          }
          d.run(first);
          d.backend().copy(*first.state, *second.state);
          EXPECT_EQ(d.backend().n_tokens(*second.state), n);
          if (device == DeviceKind::cpu) {
            const StateMemory memory(d.backend());
            EXPECT_EQ(memory.of(*first.state), memory.of(*second.state));
          }
          second.position = n;
          first.blocks.insert(first.blocks.end(), answer.begin(), answer.end());
          for (int i = 0; i < 40; ++i) d.step({&first, &second});
          AttentionDevice::sort(first);
          EXPECT_EQ(first.out, alone.out);
          EXPECT_EQ(first.left, alone.left);
          const std::size_t skipped =
              alone_too.out.size() / static_cast<std::size_t>(n + 40) * static_cast<std::size_t>(n);
          EXPECT_TRUE(std::equal(
              second.out.begin() + static_cast<std::ptrdiff_t>(skipped), second.out.end(),
              alone_too.out.begin() + static_cast<std::ptrdiff_t>(skipped), alone_too.out.end()));
          EXPECT_NE(first.out, second.out);
        }
      }
    }
  }
}

// Saved while grown, in the middle of a group of positions, and right after it was brought down.
TEST(SavedGrownState, GoesOnToTheBit) {
  std::size_t n_settings = 0;
  for (const DeviceKind device :
       devices({DeviceKind::cpu, DeviceKind::reference, DeviceKind::cuda})) {
    for (const NamedCache& p : all_policies(kCache)) {
      for (const Positions at : {Positions::clipped, Positions::in_state}) {
        if (device != DeviceKind::cpu && at == Positions::clipped) continue;
        if (n_settings++ % testing::row_step(5) != 0 || !runs_on(device, 1, kNever)) continue;
        AttentionSetting setting{.cache = p.cache, .device = device};
        setting.cache.positions = at;
        setting.cache.clip_distance = at == Positions::clipped ? 100 : 0;
        AttentionDevice d(setting), other(setting);
        AttentionStream expected{.input = d.input(331, 9), .blocks = prompt_and_answer(3)};
        d.run(expected);
        for (const std::size_t n_blocks : {2u, 4u, 5u, 8u}) {
          SCOPED_TRACE(p.name + " " + std::string(name_of(device)) + " " +
                       std::string(name_of(at)) + " after " + std::to_string(n_blocks));
          AttentionStream s{.input = expected.input, .blocks = expected.blocks};
          s.blocks.resize(n_blocks);
          d.run(s);
          std::vector<std::byte> saved, again;
          d.backend().save(*s.state, saved);
          s.state = other.backend().make_state();
          ASSERT_EQ(other.backend().load(*s.state, saved), s.position);
          other.backend().save(*s.state, again);
          EXPECT_EQ(again, saved);
          s.blocks = expected.blocks;
          other.run(s);
          EXPECT_EQ(s.out, expected.out);
          EXPECT_EQ(s.left, expected.left);
          for (std::size_t n = 0; n < saved.size(); n += 997)
            error_of([&] { other.backend().load(*s.state, std::span(saved).first(n)); });
        }
      }
    }
  }
}

}  // namespace
}  // namespace tovamill::testing
