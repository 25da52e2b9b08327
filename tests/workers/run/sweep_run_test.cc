// Sweeps: every setting's results are those of a run of it alone, to the bit, however the run goes.
#include <gtest/gtest.h>

#include <cmath>
#include <filesystem>

#include "io/results/hdf5_file.h"
#include "pipeline/results/compare.h"
#include "pipeline/run_directory/run_directory.h"
#include "tests/support/error_of.h"
#include "tests/support/models/model_builder.h"
#include "tests/support/runs/generate_runs.h"
#include "tests/support/runs/results_text.h"
#include "tests/support/runs/score_runs.h"
#include "tests/support/temporary_directory.h"
#include "workers/options/budgets.h"
#include "workers/options/sweep.h"
#include "workers/plan/plan_run.h"

namespace tovamill {
namespace {

namespace fs = std::filesystem;
using testing::contains;
using testing::error_of;
using testing::QuietObserver;
using testing::results_text;
using testing::score;
using testing::words;

class SweepRun : public ::testing::Test {
 protected:
  SweepRun() {
    write_hf_model(testing::TinyModel{}, d.path() / "model");
    for (int i = 0; i < 5; ++i) {
      d.write(std::string("corpus/") + static_cast<char>('a' + i) + ".txt",
              words(static_cast<std::size_t>(3 + 60 * i), static_cast<std::uint64_t>(i)));
    }
    d.write("corpus/lines.jsonl", "{\"text\":\"in the rain\"}\n{broken\n{\"text\":\"a\"}\n");
  }
  RunOptions options(const std::string& out, const std::string& sweep) const {
    RunOptions o = testing::tiny_options(d.path() / "model", d.path() / "corpus", d.path() / out);
    o.token_nll = o.trace_state = o.nll_by_position = o.analyze = true;
    o.sweep = sweep;
    return o;
  }
  static std::string results(const RunOptions& o) { return results_text(results_path(o.out)); }

  void expect_as_alone(const RunOptions& o) {
    const Sweep sweep = sweep_of(o);
    for (const SweepSetting& setting : sweep.settings) {
      SCOPED_TRACE(setting.name);
      RunOptions alone = setting.options;
      alone.out = d.path() / "alone";
      score(alone);
      const auto expected = testing::results_within(results_path(alone.out), "");
      const auto actual = testing::results_within(results_path(o.out), "/sweep/" + setting.name);
      EXPECT_GE(actual.size(), 70u);
      EXPECT_TRUE(actual == expected);
      for (const auto& [name, text] : expected) {
        const auto found = actual.find(name);
        EXPECT_TRUE(found != actual.end() && found->second == text) << name;
      }
      fs::remove_all(alone.out);
    }
  }
  // Of texts: answers to questions, by prompts that differ.
  RunOptions texts(const std::string& out, const std::string& sweep) {
    if (!fs::exists(d.path() / "asked.jsonl")) {
      std::string lines;
      for (std::size_t i = 0; i < 6; ++i)
        lines += R"({"id":"r)" + std::to_string(i) + R"(","text":")" + words(20 + 90 * i, i) +
                 R"(","question":["who?","where is the rain?"],"answer":["the rain","in it"]})" +
                 "\n";
      d.write("asked.jsonl", lines + "{broken\n{\"text\":\"no question\"}\n");
    }
    RunOptions o =
        testing::tiny_generation(d.path() / "model", d.path() / "asked.jsonl", d.path() / out);
    o.corpus.reference_key = "answer";
    o.generation.task = TaskChoice::qa;
    o.generation.chat_template = "none";
    o.sweep = sweep;
    return o;
  }
  testing::TemporaryDirectory d;
};

TEST_F(SweepRun, GivesEachSettingWhatARunOfItAloneGives) {
  for (const char* sweep :
       {"policy=full,tova,tova-head,tova-ema,h2o,window,random cache-size=8,16",
        "policy=tova-ema,random cache-size=8 ema=0.5,0.9 seed=1,2 pin=0,3",
        "positions=clipped,absolute,in-state clip-distance=20,30 chunk-tokens=0,40"}) {
    SCOPED_TRACE(sweep);
    RunOptions o = options("sweep", sweep);
    const RunSummary summary = score(o);
    EXPECT_EQ(summary.n_failed, 1u);
    EXPECT_EQ(summary.settings.size(), sweep_of(o).settings.size());
    expect_as_alone(o);
    fs::remove_all(o.out);
  }
}

TEST_F(SweepRun, GivesMergedTokensAndBudgetsAsRunsOfThemAlone) {
  const BudgetTable table{
      .model = "", .merge = 0, .sizes = {8, 16}, .errors = {{1.0, 0.9}, {0.5, 0.1}}};
  const std::string file = d.write("b.json", json_of(table).dump());
  RunOptions o =
      options("sweep", "policy=tova,tova-ema,window cache-size=48 merge=0,8 budgets=none," + file);
  EXPECT_EQ(sweep_of(o).settings.size(), 9u);
  score(o);
  expect_as_alone(o);
}

TEST_F(SweepRun, OnTheReferenceAndWithFewStreamsItIsTheSame) {
  RunOptions o = options("sweep", "policy=full,tova cache-size=8");
  score(o);
  const std::string expected = results(o);
  for (const std::int32_t streams : {1, 2}) {
    RunOptions other = options("streams" + std::to_string(streams), o.sweep);
    other.streams = streams;
    other.threads = streams;
    score(other);
    EXPECT_TRUE(results(other) == expected) << streams;
  }
}

TEST_F(SweepRun, AStoppedSweepContinuesToTheSameResults) {
  d.write("corpus/z.txt", words(15'000, 9));  // keeps the run busy while it is being stopped
  // With chunks one setting is through a document before the other: it reads fewer tokens.
  for (const char* sweep :
       {"policy=tova,random cache-size=8,16", "chunk-tokens=0,2,256 cache-size=8"}) {
    SCOPED_TRACE(sweep);
    const RunOptions whole = options("whole", sweep);
    RunOptions stopped = options("stopped", sweep);
    stopped.streams = 2;
    score(whole);
    for (const int after : {1, 2}) {
      QuietObserver observer(after);
      error_of([&] { run_corpus(stopped, observer); }, ExitCode::stopped);
    }
    score(stopped);
    EXPECT_TRUE(results(stopped) == results(whole));
    fs::remove_all(whole.out);
    fs::remove_all(stopped.out);
  }
}

TEST_F(SweepRun, GivesTheTextsOfARunOfEachSettingAlone) {
  for (const char* sweep :
       {"policy=full,tova,tova-head,tova-ema,random cache-size=80,120",
        "policy=full,tova cache-size=150 instruction=after,before,both,pinned"}) {
    SCOPED_TRACE(sweep);
    const RunOptions o = texts("sweep", sweep);
    const RunSummary summary = score(o);
    EXPECT_TRUE(summary.generates);
    EXPECT_EQ(summary.n_failed, 2u);
    for (const SettingSummary& s : summary.settings) EXPECT_EQ(s.summary.n_generations, 12u);
    expect_as_alone(o);
    fs::remove_all(o.out);
  }
}

TEST_F(SweepRun, StoppedTextsContinueToTheSameResults) {
  RunOptions whole = texts("whole", "policy=full,tova cache-size=150,200 instruction=both,pinned");
  whole.generation.max_new_tokens = 400;
  RunOptions stopped = whole;
  stopped.out = d.path() / "stopped";
  stopped.streams = 2;
  score(whole);
  for (const int after : {0, 1, 3}) {
    QuietObserver observer(after);
    error_of([&] { run_corpus(stopped, observer); }, ExitCode::stopped);
  }
  score(stopped);
  EXPECT_TRUE(results(stopped) == results(whole));
}

TEST_F(SweepRun, ADocumentThatOneSettingCannotTakeFailsThereOnly) {
  const RunOptions o = texts("run", "cache-size=16,200 instruction=pinned");
  const RunSummary summary = score(o);
  ASSERT_EQ(summary.settings.size(), 2u);
  EXPECT_EQ(summary.settings[0].summary.n_generations, 0u);
  EXPECT_EQ(summary.settings[1].summary.n_generations, 12u);
  EXPECT_EQ(summary.settings[0].summary.n_failed, 8u);
  EXPECT_EQ(summary.settings[1].summary.n_failed, 2u);
  const Hdf5File file(results_path(o.out), Hdf5File::Mode::read);
  EXPECT_EQ(file.read_strings("/sweep/tova-16/failures/reason", 0, 1).at(0),
            "instruction-too-long");
}

TEST_F(SweepRun, AnotherSweepDoesNotContinueIt) {
  score(options("run", "policy=full,tova cache-size=8"));
  EXPECT_NO_THROW(score(options("run", "policy=full,tova  cache-size=8,8")));
  for (const char* other : {"policy=full,tova cache-size=16", "policy=tova,full cache-size=8", ""})
    EXPECT_TRUE(contains(error_of([&] { score(options("run", other)); }, ExitCode::configuration),
                         "--sweep was"))
        << other;
  score(options("single", ""));
  EXPECT_TRUE(contains(
      error_of([&] { score(options("single", "policy=full,tova")); }, ExitCode::configuration),
      "--sweep was not there"));
}

TEST_F(SweepRun, ComparesEachDocumentWithTheBaseline) {
  const RunOptions o = options("run", "policy=tova,full cache-size=8");
  const RunSummary summary = score(o);
  ASSERT_EQ(summary.settings.size(), 2u);
  const Hdf5File file(results_path(o.out), Hdf5File::Mode::read);
  const auto nll = [&](const char* setting) {
    return file.read_all<double>(std::string("/sweep/") + setting + "/documents/nll_sum");
  };
  const auto n = file.read_all<double>("/sweep/full/documents/n_scored");
  const auto differences = file.read_all<double>("/sweep/tova/paired/nll_difference");
  const std::vector<double> tova = nll("tova"), full = nll("full");
  ASSERT_EQ(differences.size(), n.size());
  double sum = 0.0, all = 0.0;
  std::size_t n_both = 0;
  for (std::size_t i = 0; i < n.size(); ++i) {
    if (std::isnan(full[i])) {
      EXPECT_TRUE(std::isnan(differences[i]));
      continue;
    }
    ++n_both;
    EXPECT_EQ(differences[i], tova[i] / n[i] - full[i] / n[i]);
    sum += tova[i] - full[i];
    all += n[i];
  }
  const PairedSummary& paired = summary.settings[0].paired;
  EXPECT_EQ(paired.n_documents, n_both);
  EXPECT_NEAR(paired.nll_difference.value, sum / all, 1e-12);
  EXPECT_NEAR(paired.perplexity_ratio.value, std::exp(sum / all), 1e-12);
  EXPECT_TRUE(summary.settings[1].is_baseline);
  EXPECT_EQ(summary.settings[1].paired.nll_difference.value, 0.0);
  EXPECT_EQ(summary.settings[1].paired.nll_difference.standard_error, 0.0);
  EXPECT_GT(summary.settings[0].tokens_per_second, 0.0);
}

TEST_F(SweepRun, ComparesTheNllByPositionWithTheBaselines) {
  RunOptions o = options("run", "policy=full,tova cache-size=8");
  o.position_bin = 16;
  score(o);
  const Hdf5File file(results_path(o.out), Hdf5File::Mode::read);
  const auto sum_of = [&](const char* setting) {
    return file.read_all<double>(std::string("/sweep/") + setting + "/nll_by_position/nll_sum");
  };
  const std::vector<double> full = sum_of("full"), tova = sum_of("tova");
  const auto n = file.read_all<double>("/sweep/tova/nll_by_position/n_tokens");
  const std::string name = "/paired/nll_difference_by_position";
  const auto differences = file.read_all<double>("/sweep/tova" + name),
             errors = file.read_all<double>("/sweep/tova" + name + "_se");
  ASSERT_EQ(differences.size(), n.size());
  double greatest = 0.0;
  for (std::size_t b = 0; b < n.size(); ++b) {
    EXPECT_NEAR(differences[b], (tova[b] - full[b]) / n[b], 1e-12);
    greatest = std::max(greatest, std::abs(differences[b]));
  }
  EXPECT_GT(greatest, 0.0);
  EXPECT_GT(errors[2], 0.0);
  for (const double d : file.read_all<double>("/sweep/full" + name)) EXPECT_EQ(d, 0.0);
  const auto compared = compare_runs(runs_of("run", results_path(o.out)), true);
  ASSERT_EQ(compared.size(), 2u);
  ASSERT_EQ(compared[1].values.size(), differences.size());
  for (std::size_t b = 0; b < n.size(); ++b) {
    const ComparedValue& v = compared[1].values[b];
    EXPECT_EQ(v.metric, "nll_per_token from " + std::to_string(16 * b) + " to " +
                            std::to_string(16 * b + 15));
    EXPECT_NEAR(v.paired.nll_difference.value, differences[b], 1e-12);
    EXPECT_EQ(std::isnan(v.paired.nll_difference.standard_error), std::isnan(errors[b]))
        << "NaN: of one document";
    EXPECT_FALSE(std::abs(v.paired.nll_difference.standard_error - errors[b]) > 1e-9);
  }
}

TEST_F(SweepRun, APlanHasTheMemoryOfAllSettings) {
  const auto plan = [&](const char* sweep, Policy policy) {
    RunOptions o = options("none", sweep);
    o.cache.policy = policy;
    return plan_run(o, {.n_ranks = 1, .n_threads = 1, .calibrates = false});
  };
  const MemoryPlan full = plan("", Policy::full).memory, tova = plan("", Policy::tova).memory;
  const RunPlan both = plan("policy=full,tova", Policy::full);
  EXPECT_EQ(both.settings, (std::vector<std::string>{"full", "tova"}));
  EXPECT_EQ(both.memory.state_bytes, full.state_bytes + tova.state_bytes);
  EXPECT_EQ(both.memory.workspace_bytes, full.workspace_bytes + tova.workspace_bytes);
  EXPECT_EQ(both.memory.weight_bytes, full.weight_bytes);
}

}  // namespace
}  // namespace tovamill
