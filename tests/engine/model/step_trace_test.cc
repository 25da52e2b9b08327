// Where a step's time goes on a GPU: the parts fill the steps. The emulated GPU's clock ticks once
// an operation.

#include <gtest/gtest.h>

#include <memory>
#include <numeric>
#include <string>

#include "tests/support/attention/devices.h"
#include "tests/support/attention/emulated_gpu.h"
#include "tests/support/attention/step_script.h"
#include "tests/support/models/model_builder.h"
#include "tests/support/temporary_directory.h"

namespace tovamill::testing {
namespace {

class Traces : public ::testing::Test {
 protected:
  void SetUp() override {
    if (devices({DeviceKind::cuda}).empty()) GTEST_SKIP() << "no GPU";
    TinyModel model;
    model.hidden_size = 16;
    model.intermediate_size = 16;
    model.n_heads = model.n_kv_heads = 2;
    model.head_dim = 8;
    model.vocab_size = 300;
    write_hf_model(model, directory_.path() / "tiny");
  }
  ScriptedModel model(bool traces, std::int32_t n_in_flight = 1) const {
    return {(directory_.path() / "tiny").string(),
            DeviceKind::cuda,
            {.shape = {},
             .cache = {.cache_size = 8},
             .dtype = ComputeType::bf16,
             .n_in_flight = n_in_flight,
             .traces = traces}};
  }
  // Two streams, `n_tokens` a step each.
  static std::vector<ScriptedStep> steps(std::size_t n, std::int32_t n_tokens) {
    return std::vector<ScriptedStep>(
        n, {.changes = {},
            .blocks = {{.stream = 0, .n_tokens = n_tokens}, {.stream = 1, .n_tokens = n_tokens}}});
  }
  static double part(const StepTrace& t, StepPart p) {
    return t.part_seconds[static_cast<std::size_t>(p)];
  }
  static void expect_filled(const StepTrace& t) {
    const double sum = std::accumulate(t.part_seconds.begin(), t.part_seconds.end(), 0.0);
    EXPECT_GT(t.busy_seconds, 0.0);
    EXPECT_NEAR(sum, t.busy_seconds, 1e-3 * t.busy_seconds);
    EXPECT_GE(t.gap_seconds, 0.0);
  }
  TemporaryDirectory directory_;
};

TEST_F(Traces, OfBlocksHaveTheScanAndItsNeighbours) {
  ScriptedModel m = model(true);
  m.run(steps(3, 12), 2);
  const StepTrace t = m.backend().take_trace();
  EXPECT_EQ(t.n_steps, 3u);
  expect_filled(t);
  for (const StepPart p : {StepPart::gemm, StepPart::scores, StepPart::scan, StepPart::values,
                           StepPart::states, StepPart::rows, StepPart::head})
    EXPECT_GT(part(t, p), 0.0) << static_cast<int>(p);
  EXPECT_EQ(part(t, StepPart::decode), 0.0);
  // The trace of three steps of two layers, one launch each of 0.1 s; the event that ends it takes
  // as long.
  if (take_gpu_counts()) {
    EXPECT_NEAR(part(t, StepPart::scores), 3 * 2 * 0.2, 1e-6);
  }
}

TEST_F(Traces, OfSingleTokensHaveDecodingInstead) {
  ScriptedModel m = model(true);
  m.run(steps(4, 1), 2);
  const StepTrace t = m.backend().take_trace();
  EXPECT_EQ(t.n_steps, 4u);
  expect_filled(t);
  EXPECT_GT(part(t, StepPart::decode), 0.0);
  EXPECT_EQ(part(t, StepPart::scan), 0.0);
  EXPECT_EQ(part(t, StepPart::scores), 0.0);
}

TEST_F(Traces, BeginAnewWhenTheyAreTakenAndAreEmptyUnlessAskedFor) {
  ScriptedModel m = model(true), none = model(false);
  m.run(steps(2, 3), 2);
  EXPECT_EQ(m.backend().take_trace().n_steps, 2u);
  EXPECT_EQ(m.backend().take_trace().n_steps, 0u);
  none.run(steps(2, 3), 2);
  const StepTrace t = none.backend().take_trace();
  EXPECT_EQ(t.n_steps, 0u);
  EXPECT_EQ(t.busy_seconds, 0.0);
}

// Steps that overlap are each busy, and there is no gap between them.
TEST_F(Traces, OfSeveralLanesAreThoseOfAllSteps) {
  ScriptedModel m = model(true, 2);
  m.run(steps(6, 5), 2);
  const StepTrace t = m.backend().take_trace();
  EXPECT_EQ(t.n_steps, 6u);
  expect_filled(t);
  EXPECT_GT(part(t, StepPart::scan), 0.0);
}

}  // namespace
}  // namespace tovamill::testing
