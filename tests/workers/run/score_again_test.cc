// Runs of scoring that are stopped, continued, begun afresh, or differ in what must not matter.
#include <gtest/gtest.h>

#include <filesystem>

#include "pipeline/run_directory/run_directory.h"
#include "tests/support/error_of.h"
#include "tests/support/runs/results_text.h"
#include "tests/workers/run/score_run.h"

namespace tovamill {
namespace {

using testing::contains;
using testing::error_of;
using testing::QuietObserver;
using testing::results_text;
using testing::score;
using testing::TinyModel;
using testing::words;

TEST_F(ScoreRun, ResultsDoNotDependOnStreamsAndThreads) {
  write_corpus();
  d.write("corpus/h.jsonl", kBadLines);
  RunOptions o = traced("one");
  o.streams = 1;
  o.threads = 1;
  score(o);
  const std::string one = results_text(results_path(o.out));
  EXPECT_GT(one.size(), 10'000u);
  for (const std::int32_t streams : {0, 2, 5, 64}) {
    for (const std::int32_t threads : {1, 3}) {
      RunOptions many = traced("s" + std::to_string(streams) + "t" + std::to_string(threads));
      many.streams = streams;
      many.threads = threads;
      score(many);
      EXPECT_TRUE(results_text(results_path(many.out)) == one) << streams << " " << threads;
    }
  }
}

TEST_F(ScoreRun, AStoppedRunContinuesToTheSameResults) {
  write_corpus();
  d.write("corpus/z.txt", words(15'000, 77));  // keeps the run busy while it is being stopped
  RunOptions whole = traced("whole");
  score(whole);
  RunOptions o = traced("stopped");
  o.streams = 2;
  for (const int stop_after : {1, 2, 3}) {
    QuietObserver observer(stop_after);
    const std::string message = error_of([&] { run_corpus(o, observer); }, ExitCode::stopped);
    EXPECT_TRUE(contains(message, "run the same command again")) << message;
  }
  EXPECT_FALSE(std::filesystem::exists(results_path(o.out)));
  QuietObserver observer;
  run_corpus(o, observer);
  EXPECT_GT(observer.info.n_documents_done, 0u);
  EXPECT_LT(observer.info.n_documents_done, 8u);
  EXPECT_TRUE(results_text(results_path(o.out)) == results_text(results_path(whole.out)));
}

TEST_F(ScoreRun, OtherOptionsThatChangeResultsAreRefusedByName) {
  write_corpus();
  const RunOptions before = options();
  {
    QuietObserver observer(0);
    RunOptions first = before;
    first.streams = 1;
    error_of([&] { run_corpus(first, observer); }, ExitCode::stopped);
  }
  const auto refused = [&](const char* name, auto change) {
    RunOptions o = before;
    change(o);
    const std::string message = error_of([&] { score(o); }, ExitCode::configuration);
    EXPECT_TRUE(contains(message, name)) << message;
  };
  refused("--cache-size was 16 and is 17", [](RunOptions& o) { o.cache.cache_size = 17; });
  refused("--policy was tova and is window",
          [](RunOptions& o) { o.cache.policy = Policy::window; });
  refused("--chunk-tokens was 0 and is 64", [](RunOptions& o) { o.cache.chunk_tokens = 64; });
  refused("--bos", [](RunOptions& o) { o.bos = BosMode::always; });
  refused("--token-nll", [](RunOptions& o) { o.token_nll = true; });
  refused("--limit", [](RunOptions& o) { o.limit = 3; });
  refused("--block", [](RunOptions& o) { o.block = 128; });
  refused("--positions", [](RunOptions& o) { o.cache.positions = Positions::absolute; });
  refused("--corpus", [&](RunOptions& o) { o.corpus.paths.push_back(d.path() / "corpus/a.txt"); });
  refused("--model", [&](RunOptions& o) {
    TinyModel other;
    other.seed = 2;
    write_hf_model(other, d.path() / "other");
    o.model = d.path() / "other";
  });
  RunOptions o = before;  // these do not
  o.threads = 1;
  o.streams = 3;
  o.sync_seconds = 1.0;
  EXPECT_EQ(score(o).n_documents, 7u);
}

TEST_F(ScoreRun, TheSeedIsAmongTheOptionsWhereThePolicyDraws) {
  write_corpus();
  RunOptions o = options();
  score(o);
  o.generation.sampling.seed = 5;
  EXPECT_EQ(score(o).n_documents, 7u) << "continues: tova draws nothing";
  o.out = out("random");
  o.cache.policy = Policy::random;
  score(o);
  const std::string five = results_text(results_path(o.out));
  o.generation.sampling.seed = 6;
  const std::string message = error_of([&] { score(o); }, ExitCode::configuration);
  EXPECT_TRUE(contains(message, "--seed was 5 and is 6")) << message;
  o.overwrite = true;
  score(o);
  EXPECT_NE(results_text(results_path(o.out)), five);
}

TEST_F(ScoreRun, OverwriteStartsAfresh) {
  write_corpus();
  score(options());
  RunOptions o = options();
  o.cache.cache_size = 17;
  o.overwrite = true;
  score(o);
  EXPECT_EQ(scan_journals(o.out).journals.size(), 1u);
}

// A broken option must not cost what an earlier run left.
TEST_F(ScoreRun, OverwriteDeletesNothingWhereTheRunCannotStart) {
  write_corpus();
  score(options());
  const std::string before = results_text(results_path(out()));
  RunOptions o = options();
  o.overwrite = true;
  o.memory_budget = 1;
  error_of([&] { score(o); }, ExitCode::configuration);
  EXPECT_TRUE(results_text(results_path(out())) == before);
}

}  // namespace
}  // namespace tovamill
