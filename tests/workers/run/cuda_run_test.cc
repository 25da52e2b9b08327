// Whole runs on the GPU, on the emulated one in builds without CUDA: the same documents as on the
// CPU, whatever the streams, stops and continuations.
#include <gtest/gtest.h>

#include <cmath>

#include "kernels/gpu_info.h"
#include "pipeline/run_directory/run_directory.h"
#include "tests/support/attention/emulated_gpu.h"
#include "tests/support/error_of.h"
#include "tests/support/models/model_builder.h"
#include "tests/support/runs/generate_runs.h"
#include "tests/support/runs/results_text.h"
#include "tests/support/temporary_directory.h"
#include "workers/options/sweep.h"
#include "workers/plan/plan_run.h"

namespace tovamill {
namespace {

using testing::QuietObserver;
using testing::Results;
using testing::results_text;
using testing::score;
using testing::words;
using testing::written_rows;

class CudaRun : public ::testing::Test {
 protected:
  CudaRun() { write_hf_model(testing::TinyModel{}, d.path() / "model"); }
  void SetUp() override {
    if (usable_gpus().empty()) GTEST_SKIP() << gpu_info().rejection;
  }
  void TearDown() override { testing::set_machine({}); }
  RunOptions options(const std::string& name,
                     std::optional<DeviceKind> device = DeviceKind::cuda) const {
    RunOptions o = testing::tiny_options(d.path() / "model", d.path() / "corpus", d.path() / name);
    o.device = device;
    o.token_nll = o.trace_state = true;
    return o;
  }
  void write_corpus(int n) const {
    for (int i = 0; i < n; ++i) {
      const auto length = static_cast<std::size_t>(5 + (i * 41) % 70);
      d.write(std::string("corpus/") + static_cast<char>('a' + i) + ".txt",
              words(length, static_cast<std::uint64_t>(i)));
    }
  }
  testing::TemporaryDirectory d;
};

TEST_F(CudaRun, GivesTheNumbersOfTheCpu) {
  write_corpus(5);
  QuietObserver observer;
  run_corpus(options("gpu"), observer);
  EXPECT_EQ(observer.info.device.substr(0, 4), "CUDA");
  score(options("cpu", DeviceKind::cpu));
  const Results gpu(d.path() / "gpu"), cpu(d.path() / "cpu");
  ASSERT_EQ(gpu.nll.size(), cpu.nll.size());
  EXPECT_EQ(gpu.eviction_step, cpu.eviction_step);
  for (std::size_t i = 0; i < gpu.nll.size(); ++i) {
    if (std::isfinite(cpu.nll[i])) {
      EXPECT_NEAR(gpu.nll[i], cpu.nll[i], 1e-3) << i;
    }
  }
}

TEST_F(CudaRun, ResultsDoNotDependOnStreams) {
  write_corpus(3);
  std::string first;
  for (const std::int32_t streams : {1, 0}) {
    RunOptions o = options("s" + std::to_string(streams));
    o.streams = streams;
    score(o);
    const std::string text = results_text(results_path(o.out));
    if (first.empty()) first = text;
    EXPECT_TRUE(text == first) << streams;
  }
}

TEST_F(CudaRun, ASweepGivesEachSettingWhatARunOfItAloneGives) {
  write_corpus(3);
  RunOptions o = options("sweep");
  o.sweep = "policy=full,tova,h2o-head cache-size=8";
  score(o);
  for (const SweepSetting& setting : sweep_of(o).settings) {
    RunOptions alone = setting.options;
    alone.out = d.path() / setting.name;
    score(alone);
    const auto expected = testing::results_within(results_path(alone.out), "");
    EXPECT_GE(expected.size(), 40u);
    EXPECT_TRUE(testing::results_within(results_path(o.out), "/sweep/" + setting.name) == expected)
        << setting.name;
  }
}

TEST_F(CudaRun, AStoppedRunContinuesToTheSameResults) {
  write_corpus(2);
  d.write("corpus/z.txt", words(150, 77));
  const RunOptions whole = options("whole");
  score(whole);
  RunOptions o = options("stopped");
  o.streams = 2;
  QuietObserver stopping(1);
  testing::error_of([&] { run_corpus(o, stopping); }, ExitCode::stopped);
  QuietObserver observer;
  run_corpus(o, observer);
  EXPECT_GT(observer.info.n_documents_done, 0u);
  EXPECT_TRUE(results_text(results_path(o.out)) == results_text(results_path(whole.out)));
}

TEST_F(CudaRun, WritesWhatTheCpuWrites) {
  write_corpus(3);
  for (const DeviceKind device : {DeviceKind::cuda, DeviceKind::cpu}) {
    RunOptions o = testing::tiny_generation(d.path() / "model", d.path() / "corpus",
                                            d.path() / name_of(device));
    o.device = device;
    score(o);
  }
  const auto gpu = written_rows(d.path() / "cuda"), cpu = written_rows(d.path() / "cpu");
  ASSERT_EQ(gpu.size(), 3u);
  ASSERT_EQ(gpu.size(), cpu.size());
  for (std::size_t i = 0; i < gpu.size(); ++i) {
    EXPECT_EQ(gpu[i].ids, cpu[i].ids) << i;
    EXPECT_EQ(gpu[i].text, cpu[i].text) << i;
  }
}

TEST_F(CudaRun, AutoTakesTheGpuAndPlansItsMemory) {
  write_corpus(2);
  RunOptions o = options("auto", std::nullopt);
  const RunPlan plan = plan_run(o, {.n_ranks = 1, .n_threads = 2, .calibrates = false});
  QuietObserver observer;
  run_corpus(o, observer);
  EXPECT_EQ(observer.info.device.substr(0, 4), "CUDA");
  EXPECT_EQ(plan.device, observer.info.device);
  EXPECT_EQ(plan.step.n_streams, observer.info.streams);
  EXPECT_EQ(plan.memory.available_bytes, usable_gpus().front().total_bytes / 100 * 92);
}

TEST_F(CudaRun, HasFewerStreamsWhereMemoryCannotBeHad) {
  if (!testing::take_gpu_counts()) GTEST_SKIP() << "no emulated GPU, which can refuse memory";
  write_corpus(2);
  // As many documents as there would be streams if there were memory.
  for (int i = 0; i < 70; ++i) d.write("corpus/short" + std::to_string(i) + ".txt", "a");
  RunOptions o = options("all");
  o.cache.cache_size = 4096;  // large states
  o.streams = 8;
  QuietObserver all, some;
  run_corpus(o, all);
  const std::uint64_t state = all.info.state_bytes / 8,
                      most = all.info.weight_bytes + all.info.workspace_bytes + 7 * state;
  o.out = d.path() / "some";
  o.streams = 0;
  o.memory_budget = most;
  testing::set_machine({.largest_block = most});
  run_corpus(o, some);
  EXPECT_NE(some.info.device.find("of its memory could be had"), std::string::npos)
      << some.info.device;
  EXPECT_LT(some.info.streams, some.info.wanted_streams);
  EXPECT_TRUE(results_text(results_path(o.out)) == results_text(results_path(d.path() / "all")));
}

// The rank is lost, and the run with its only one; another start goes on where it was.
TEST_F(CudaRun, ADeviceThatFailsEndsTheRankAndSaysWhy) {
  if (!testing::take_gpu_counts()) GTEST_SKIP() << "no emulated GPU, which can fail";
  write_corpus(3);
  const RunOptions o = options("failed");
  for (const std::uint64_t n_operations : {20u, 62u}) {  // of loading, of a step
    testing::set_machine({.n_operations = n_operations});
    std::string why;
    try {
      score(o);
    } catch (const Error& e) {
      why = e.what();
    }
    const bool is_cuda = why.find("cudaErrorIllegalAddress") != std::string::npos &&
                         why.find("kernels/cuda/") != std::string::npos;
    EXPECT_TRUE(is_cuda || why.find("CUBLAS_STATUS_EXECUTION_FAILED") != std::string::npos)
        << n_operations << ": " << why;
    const bool is_at_work = why.find("every computing rank is lost") != std::string::npos;
    EXPECT_EQ(is_at_work, n_operations > 20) << why;
  }
  testing::set_machine({});
  score(o);
  score(options("whole"));
  EXPECT_TRUE(results_text(results_path(o.out)) == results_text(results_path(d.path() / "whole")));
}

TEST_F(CudaRun, ASmallBudgetBoundsTheStreams) {
  write_corpus(2);
  RunOptions o = options("small");
  o.memory_budget = 1;
  const std::string message = testing::error_of([&] { score(o); }, ExitCode::configuration);
  EXPECT_NE(message.find("--memory-budget"), std::string::npos) << message;
}

}  // namespace
}  // namespace tovamill
