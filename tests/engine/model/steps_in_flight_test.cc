// Several steps in flight at once: whatever the streams of consecutive steps share, and whatever
// is done to states between them, the numbers are those of one step after another. On the emulated
// GPU the operations of several steps are done in random order.

#include <gtest/gtest.h>

#include <memory>
#include <string>
#include <vector>

#include "kernels/types/error.h"
#include "tests/support/attention/devices.h"
#include "tests/support/attention/emulated_gpu.h"
#include "tests/support/attention/step_script.h"
#include "tests/support/error_of.h"
#include "tests/support/models/model_builder.h"
#include "tests/support/row_step.h"
#include "tests/support/temporary_directory.h"

namespace tovamill::testing {
namespace {

constexpr std::int32_t kCache = 24;
constexpr std::uint64_t kBytes = 2 * kTestDeviceBytes;  // for three steps in flight

class StepsInFlight : public ::testing::Test {
 protected:
  static void SetUpTestSuite() {
    directory_ = std::make_unique<TemporaryDirectory>();
    TinyModel model;
    model.hidden_size = 16;
    model.intermediate_size = 16;
    model.n_heads = 2;
    model.n_kv_heads = 2;
    model.head_dim = 8;
    model.vocab_size = 300;
    write_hf_model(model, directory_->path() / "tiny");
  }
  static void TearDownTestSuite() { directory_.reset(); }
  void SetUp() override {
    if (devices({DeviceKind::cuda}).empty()) GTEST_SKIP() << "no GPU";
  }
  static ScriptResult run(const ScriptSetting& setting, std::uint32_t seed,
                          std::int32_t n_in_flight, ComputeType dtype) {
    ScriptedModel model(path(), DeviceKind::cuda,
                        {.shape = {},
                         .cache = setting.cache,
                         .dtype = dtype,
                         .n_in_flight = n_in_flight,
                         .device_bytes = kBytes});
    EXPECT_EQ(model.forward().max_in_flight(), n_in_flight);
    ScriptSetting shorter = setting;
    shorter.n_steps /= testing::row_step(4);
    return model.run(random_script(shorter, seed), setting.n_streams);
  }
  static void expect_same_bits(const ScriptSetting& setting, ComputeType dtype) {
    for (std::uint32_t seed = 1; seed <= (runs_on(DeviceKind::cuda, 1, kNever) ? 12u : 1u);
         ++seed) {
      const ScriptResult one = run(setting, seed, 1, dtype);
      EXPECT_FALSE(one.nll.empty());
      for (const std::int32_t n_in_flight : {2, 3}) {
        if (!runs_on(DeviceKind::cuda, static_cast<std::size_t>(n_in_flight), 2)) continue;
        SCOPED_TRACE("seed " + std::to_string(seed) + ", steps in flight " +
                     std::to_string(n_in_flight));
        set_gpu_order(seed);
        EXPECT_TRUE(run(setting, seed, n_in_flight, dtype) == one);
      }
    }
  }
  static std::string path() { return (directory_->path() / "tiny").string(); }
  static std::unique_ptr<TemporaryDirectory> directory_;
};
std::unique_ptr<TemporaryDirectory> StepsInFlight::directory_;

TEST_F(StepsInFlight, GiveTheBitsOfOneWithBoundedStates) {
  expect_same_bits({.n_steps = 20, .cache = {.cache_size = kCache}}, ComputeType::f32);
  expect_same_bits({.n_steps = 12, .cache = {.policy = Policy::h2o_head, .cache_size = kCache}},
                   ComputeType::bf16);
}

// 40 tokens at a time: states pass 256 slots and move.
TEST_F(StepsInFlight, GiveTheBitsOfOneWithStatesThatGrow) {
  expect_same_bits(
      {.n_streams = 3, .n_steps = 22, .max_tokens = 42, .cache = {.policy = Policy::full}},
      ComputeType::f32);
}

TEST_F(StepsInFlight, GiveTheBitsOfOneWithStatesThatAreBroughtDown) {
  expect_same_bits({.n_streams = 3,
                    .n_steps = 20,
                    .max_tokens = 40,
                    .keeps_all = true,
                    .cache = {.cache_size = kCache}},
                   ComputeType::f32);
}

TEST_F(StepsInFlight, AreAsManyAsAskedForWithinBounds) {
  for (const auto& [wanted, n] : {std::pair{-1, 1}, {0, 1}, {2, 2}, {9, 4}}) {
    ScriptedModel model(path(), DeviceKind::cuda,
                        {.shape = {},
                         .cache = {},
                         .dtype = ComputeType::bf16,
                         .n_in_flight = wanted,
                         .device_bytes = 3 * kTestDeviceBytes});
    EXPECT_EQ(model.backend().n_in_flight(), n);
  }
}

TEST_F(StepsInFlight, TakeNoMoreStepsThanThereAre) {
  ScriptedModel model(
      path(), DeviceKind::cuda,
      {.shape = {}, .cache = {.cache_size = kCache}, .dtype = ComputeType::bf16, .n_in_flight = 2});
  Backend& backend = model.backend();
  const auto state = backend.make_state();
  backend.begin_step({}, 0);
  backend.begin_step({}, 0);
  const StepBlock block{.state = state.get(), .n_tokens = 2};
  error_of([&] { backend.begin_step(std::span(&block, 1), 2); }, ExitCode::internal);
  EXPECT_EQ(backend.n_tokens(*state), 0);
  backend.finish_step();
  backend.begin_step(std::span(&block, 1), 2);
  EXPECT_EQ(backend.n_tokens(*state), 2);
  backend.finish_step();
  backend.finish_step();
}

// What the emulated host waits for: nothing while it submits, the one step's end when it collects.
TEST_F(StepsInFlight, AreWaitedForByCollectOnly) {
  ScriptedModel model(path(), DeviceKind::cuda,
                      {.shape = {},
                       .cache = {.policy = Policy::full},
                       .dtype = ComputeType::bf16,
                       .n_in_flight = 2});
  const auto state = model.backend().make_state();
  const std::vector<std::int32_t> ids(100, 7), targets(100, 8);
  const auto submit = [&] {
    const StepBlock block{
        .state = state.get(), .n_tokens = 100, .position = model.backend().n_tokens(*state)};
    model.forward().submit({.blocks = std::span(&block, 1), .ids = ids, .targets = targets});
  };
  submit();  // sends the embedding and the norms
  submit();
  model.forward().collect();
  if (!take_gpu_counts()) GTEST_SKIP() << "no emulated GPU, which counts the waits";
  for (int i = 0; i < 8; ++i) {  // the state grows beyond 256 and more slots
    submit();
    EXPECT_EQ(take_gpu_counts()->n_waits, 0u) << i;
    model.forward().collect();
    EXPECT_EQ(take_gpu_counts()->n_waits, 1u) << i;
  }
  model.forward().collect();
}

using StepGraphs = StepsInFlight;

// Decoding beside steps that are no graphs give the same: with BackendOptions::traces there are
// none.
TEST_F(StepGraphs, GiveTheBitsOfTheSameLaunches) {
  for (const CacheOptions& cache :
       {CacheOptions{.cache_size = 10}, CacheOptions{.policy = Policy::full},
        CacheOptions{.policy = Policy::h2o, .cache_size = 10}}) {
    SCOPED_TRACE(name_of(cache.policy));
    const ScriptSetting setting{.n_streams = 3, .n_steps = 40, .max_tokens = 1, .cache = cache};
    const auto script = random_script(setting, 5);
    ScriptedModel without(path(), DeviceKind::cuda,
                          {.shape = {},
                           .cache = cache,
                           .dtype = ComputeType::bf16,
                           .n_in_flight = 1,
                           .traces = true});
    take_gpu_counts();
    const ScriptResult expected = without.run(script, setting.n_streams);
    const auto plain = take_gpu_counts();
    for (const std::int32_t n_in_flight : {1, 2}) {
      ScriptedModel with(
          path(), DeviceKind::cuda,
          {.shape = {}, .cache = cache, .dtype = ComputeType::bf16, .n_in_flight = n_in_flight});
      EXPECT_TRUE(with.run(script, setting.n_streams) == expected) << n_in_flight;
      const auto counts = take_gpu_counts();
      if (!counts) continue;
      EXPECT_EQ(plain->n_graphs_launched, 0u);
      EXPECT_GT(counts->n_graphs_launched, 15u);
      EXPECT_LE(counts->n_graphs_made, 8u);
    }
  }
}

// From 256 tokens on keys are rotated anew, states of `full` move, and their scratch grows: other
// graphs than those before.
TEST_F(StepGraphs, AreOthersWhereOtherKernelsRun) {
  std::size_t n_settings = 0;
  for (const CacheOptions& cache : {CacheOptions{.policy = Policy::full, .clip_distance = 3},
                                    CacheOptions{.cache_size = 10, .clip_distance = 3}}) {
    if (!runs_on(DeviceKind::cuda, n_settings++, kFirst)) continue;
    SCOPED_TRACE(name_of(cache.policy));
    std::vector<ScriptedStep> script(
        4,
        {.changes = {}, .blocks = {{.stream = 0, .n_tokens = 62}, {.stream = 1, .n_tokens = 61}}});
    script.insert(script.end(), 20, {.changes = {}, .blocks = {{.stream = 0}, {.stream = 1}}});
    ScriptedModel without(path(), DeviceKind::cuda,
                          {.shape = {},
                           .cache = cache,
                           .dtype = ComputeType::bf16,
                           .n_in_flight = 1,
                           .traces = true});
    ScriptedModel with(path(), DeviceKind::cuda,
                       {.shape = {}, .cache = cache, .dtype = ComputeType::bf16, .n_in_flight = 1});
    const ScriptResult expected = without.run(script, 2);
    take_gpu_counts();
    EXPECT_TRUE(with.run(script, 2) == expected);
    if (const auto counts = take_gpu_counts()) {
      EXPECT_GT(counts->n_graphs_launched, 8u);
    }
  }
}

// Two streams that go on token by token: once captured, each step is a graph.
TEST_F(StepGraphs, AreTheSameWhileStatesFillAndAreFull) {
  ScriptedModel model(
      path(), DeviceKind::cuda,
      {.shape = {}, .cache = {.cache_size = 12}, .dtype = ComputeType::bf16, .n_in_flight = 1});
  take_gpu_counts();
  const std::vector<ScriptedStep> script(40,
                                         {.changes = {}, .blocks = {{.stream = 0}, {.stream = 1}}});
  model.run(script, 2);
  const auto counts = take_gpu_counts();
  if (!counts) GTEST_SKIP() << "no emulated GPU, which counts the graphs";
  EXPECT_EQ(counts->n_graphs_made, 1u);
  EXPECT_EQ(counts->n_graphs_launched, 39u);
}

// Memory that a freed state had is another's only when no step reads it any more: it is waited for
// where there is no other.
TEST_F(StepsInFlight, KeepWhatAFreedStateHadUntilItsStepIsDone) {
  ScriptedModel model(
      path(), DeviceKind::cuda,
      {.shape = {}, .cache = {.cache_size = kCache}, .dtype = ComputeType::bf16, .n_in_flight = 2});
  Backend& backend = model.backend();
  auto state = backend.make_state();
  const std::vector<std::int32_t> ids(20, 7);
  const StepBlock block{.state = state.get(), .n_tokens = 20};
  const std::uint64_t left = backend.device().device_bytes_left().value();
  model.forward().submit({.blocks = std::span(&block, 1), .ids = ids});
  state.reset();
  const std::uint64_t in_flight = backend.device().device_bytes_left().value();
  model.forward().collect();
  EXPECT_LE(in_flight, left);
  EXPECT_GE(backend.device().device_bytes_left().value(), in_flight + backend.state_bytes());
}

// The same, where there is no other memory: it is waited for.
TEST_F(StepsInFlight, WaitForMemoryThatAStepStillHas) {
  ScriptedModel model(
      path(), DeviceKind::cuda,
      {.shape = {}, .cache = {.cache_size = kCache}, .dtype = ComputeType::bf16, .n_in_flight = 2});
  Backend& backend = model.backend();
  std::vector<std::unique_ptr<StreamState>> states;
  try {
    for (;;) states.push_back(backend.make_state());
  } catch (const OutOfMemory&) {
  }
  ASSERT_GT(states.size(), 2u);
  const std::vector<std::int32_t> ids(20, 7);
  for (const std::size_t i : {0u, 1u}) {
    const StepBlock block{.state = states[i].get(), .n_tokens = 20};
    model.forward().submit({.blocks = std::span(&block, 1), .ids = ids});
  }
  states[0].reset();
  EXPECT_LT(backend.device().device_bytes_left().value(), backend.state_bytes());
  states[0] = backend.make_state();
  EXPECT_THROW(backend.make_state(), OutOfMemory);
  model.forward().collect();
  model.forward().collect();
}

}  // namespace
}  // namespace tovamill::testing
