// The numbers of a plan against what runs of the same options really were.
#include "workers/plan/plan_run.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <filesystem>

#include "tests/support/error_of.h"
#include "tests/support/models/model_builder.h"
#include "tests/support/runs/generate_runs.h"
#include "tests/support/runs/score_runs.h"
#include "tests/support/temporary_directory.h"

namespace tovamill {
namespace {

using testing::TemporaryDirectory;

class Plan : public ::testing::Test {
 protected:
  Plan() { write_model(3); }

  void write_model(std::int32_t n_layers) const {
    testing::TinyModel model;
    model.n_layers = n_layers;
    write_hf_model(model, d.path() / "model");
  }
  RunOptions options() const {
    return testing::tiny_options(d.path() / "model", d.path() / "corpus", d.path() / "run");
  }
  RunPlan plan(const RunOptions& options, std::int32_t n_ranks = 1, bool calibrates = false) const {
    return plan_run(options, {.n_ranks = n_ranks, .n_threads = 2, .calibrates = calibrates});
  }
  void write_corpus() const {
    d.write("corpus/a.txt", testing::words(400, 1));
    d.write("corpus/b.txt", testing::words(50, 2));
    d.write("corpus/bad.txt", "\xff");
    d.write("corpus/c.jsonl", "{\"text\": \"0123456789\"}\n{}\n{\"text\": \"01234\"}\n");
  }
  TemporaryDirectory d;
};

TEST_F(Plan, OfASmallCorpusCountsWhatARunCounts) {
  write_corpus();
  for (const BosMode bos : {BosMode::never, BosMode::always}) {
    RunOptions o = options();
    o.bos = bos;
    o.overwrite = true;
    const RunPlan planned = plan(o);
    const RunSummary run = testing::score(o);
    EXPECT_EQ(planned.corpus.n_documents, static_cast<double>(run.n_documents));
    EXPECT_EQ(planned.corpus.n_bad, static_cast<double>(run.n_failed));
    EXPECT_NEAR(planned.corpus.n_tokens, static_cast<double>(run.n_tokens), 1e-6);
    EXPECT_TRUE(planned.corpus.documents_are_exact && planned.corpus.tokens_are_exact);
  }
}

TEST_F(Plan, MemoryIsWhatARunTakes) {
  write_hf_model(testing::mixed_model(3), d.path() / "model");
  write_corpus();
  const RunPlan planned = plan(options());
  testing::QuietObserver observer;
  run_corpus(options(), observer);
  EXPECT_EQ(planned.step.n_streams, observer.info.streams);
  EXPECT_EQ(planned.memory.all_states_bytes, observer.info.state_bytes);
  // The products' own scratch is sized when the matrices are packed: a few KiB a thread.
  EXPECT_NEAR(static_cast<double>(planned.memory.workspace_bytes + planned.memory.buffer_bytes),
              static_cast<double>(observer.info.workspace_bytes), 16384.0);
  EXPECT_EQ(planned.dtype, observer.info.dtype);
  EXPECT_EQ(planned.device, observer.info.device);
  EXPECT_EQ(planned.model, observer.info.model_description);
  // Packing pads rows to its tiles; norms are not counted.
  EXPECT_GE(observer.info.weight_bytes, planned.memory.weight_bytes);
  EXPECT_LT(observer.info.weight_bytes, 2 * planned.memory.weight_bytes);
}

TEST_F(Plan, MemoryIsWhatARunWithMergedTokensAndBudgetsTakes) {
  write_corpus();
  RunOptions o = options();
  o.cache = {.policy = Policy::tova_ema, .cache_size = 64};
  o.overwrite = true;
  const std::uint64_t plain = plan(o).memory.state_bytes;
  for (const std::int32_t merge : {0, 8}) {
    for (const std::vector<std::int32_t>& sizes :
         std::vector<std::vector<std::int32_t>>{{}, {120, 40, 32}}) {
      SCOPED_TRACE(::testing::Message() << merge << " " << sizes.size());
      o.cache.merge = merge;
      o.cache.layer_sizes = sizes;
      const RunPlan planned = plan(o, 1, true);
      testing::QuietObserver observer;
      run_corpus(o, observer);
      EXPECT_EQ(planned.step.n_streams, observer.info.streams);
      EXPECT_EQ(planned.memory.all_states_bytes, observer.info.state_bytes);
      EXPECT_GT(planned.seconds(), 0.0);
      if (merge == 8) {
        EXPECT_GT(planned.memory.state_bytes, plain);
      }
    }
  }
}

TEST_F(Plan, StagesAreGroupsOfRanksAndEachTakesLess) {
  write_corpus();
  RunOptions o = options();
  const RunPlan whole = plan(o, 4);
  o.stages = 2;
  const RunPlan cut = plan(o, 4);
  EXPECT_EQ(whole.n_eviction_groups(), 4);
  EXPECT_EQ(cut.n_eviction_groups(), 2);
  ASSERT_EQ(cut.stage_memory.size(), 2u);
  EXPECT_LT(cut.memory.weight_bytes, whole.memory.weight_bytes);
  EXPECT_LT(cut.memory.all_states_bytes, whole.memory.all_states_bytes);
  EXPECT_EQ(cut.memory.needed_bytes(), std::max(cut.stage_memory[0], cut.stage_memory[1]));
  EXPECT_EQ(plan(o).n_ranks, 2);  // one group
  testing::error_of([&] { plan(o, 3); }, ExitCode::usage);
  o.stages = 4;
  testing::error_of([&] { plan(o, 4); }, ExitCode::usage);
}

TEST_F(Plan, WritesNothing) {
  write_corpus();
  plan(options(), 1, true);
  EXPECT_FALSE(std::filesystem::exists(d.path() / "run"));
}

TEST_F(Plan, SkipAndLimitChooseFilesOrAShare) {
  write_corpus();
  RunOptions o = options();
  o.corpus.glob = "*.txt";
  o.skip = o.limit = 1;
  const CorpusPlan one = plan(o).corpus;
  EXPECT_EQ(one.n_documents, 1);
  EXPECT_NEAR(one.n_tokens, static_cast<double>(testing::tiny_ids(testing::words(50, 2)).size()),
              1e-6);
  o.corpus.glob = "*.jsonl";
  o.skip = 0;
  EXPECT_EQ(plan(o).corpus.n_documents, 1);
  EXPECT_NEAR(plan(o).corpus.n_tokens, 5.0, 1e-6) << "a third of what three records hold";
  o.skip = 100;
  EXPECT_EQ(plan(o).corpus.n_documents, 0);
  EXPECT_EQ(plan(o, 1, true).seconds(), 0.0);
}

TEST_F(Plan, TheLargestIndivisibleFileBoundsWhatManyRanksGain) {
  d.write("corpus/a.txt", testing::digits(600, 1));
  d.write("corpus/b.txt", testing::digits(200, 2));
  d.write("corpus/c.jsonl", "{\"text\": \"" + testing::digits(200, 3) + "\"}\n");
  RunPlan four = plan(options(), 4);
  EXPECT_TRUE(four.corpus.largest.path.ends_with("/corpus/a.txt"));
  EXPECT_NEAR(four.corpus.largest.n_tokens, 600.0, 1e-6);
  EXPECT_NEAR(four.largest_share(), 0.6, 1e-9);
  EXPECT_TRUE(four.largest_decides());
  four.calibration = Calibration{.n_rows = 10, .step_s = 1.0};
  EXPECT_NEAR(four.seconds(), 60.0, 1e-6) << "600 tokens at 10 a second, on one rank";
  four.n_ranks = 1;
  EXPECT_FALSE(four.largest_decides());
  EXPECT_NEAR(four.seconds(), 100.0, 1e-6);
}

TEST_F(Plan, TooLittleMemoryIsAnObstacleAndNoError) {
  write_corpus();
  RunOptions o = options();
  o.memory_budget = 1;
  const RunPlan planned = plan(o);
  EXPECT_TRUE(testing::contains(planned.rejection, "--memory-budget 1"));
  EXPECT_EQ(planned.corpus.n_documents, 6);
  o.memory_budget = 0;
  EXPECT_EQ(plan(o).rejection, "");
}

TEST_F(Plan, CalibrationTimesLayersAndHead) {
  write_corpus();
  const RunPlan planned = plan(options(), 2, true);
  ASSERT_TRUE(planned.calibration);
  const Calibration& c = *planned.calibration;
  EXPECT_EQ(c.n_blocks, 3) << "six documents on two ranks";
  EXPECT_GE(c.n_repeats, 2);
  EXPECT_GT(c.step_s, 0.0);
  EXPECT_NEAR(c.step_s, 3 * c.layer_s + c.head_s + c.other_s, 1e-12);
  EXPECT_NEAR(planned.tokens_per_second(), 2.0 * c.n_rows / c.step_s, 1e-6);
  EXPECT_GT(planned.seconds(), 0.0);
}

TEST_F(Plan, CalibrationFillsTheStateThatDocumentsFill) {
  const auto state_tokens = [&](std::size_t n_tokens, std::int32_t cache_size) {
    d.write("corpus/a.txt", testing::digits(n_tokens, 1));
    RunOptions o = options();
    o.cache.cache_size = cache_size;
    return plan(o, 1, true).calibration->state_tokens;
  };
  EXPECT_EQ(state_tokens(5000, 600), 768) << "full, in whole blocks";
  EXPECT_EQ(state_tokens(700, 600), 512) << "half of a document";
  EXPECT_EQ(state_tokens(100, 600), 0) << "documents of one block start anew";
}

TEST_F(Plan, OneLayerModelsAndOtherPoliciesAreMeasuredToo) {
  write_corpus();
  write_model(1);
  for (const Policy policy : {Policy::full, Policy::window, Policy::tova_ema, Policy::h2o_head}) {
    RunOptions o = options();
    o.cache.policy = policy;
    EXPECT_GT(plan(o, 1, true).tokens_per_second(), 0.0);
  }
}

// ---- of texts ----

class PlanTexts : public Plan {
 protected:
  PlanTexts() {
    d.write("corpus/a.jsonl", "{\"text\": \"" + testing::digits(300, 1) +
                                  "\", \"question\": [\"01\", \"2345\"]}\n" + "{\"text\": \"" +
                                  testing::digits(100, 2) + "\"}\n{broken\n");
    d.write("corpus/b.txt", testing::digits(200, 3));
  }
  RunOptions generation() const {
    RunOptions o =
        testing::tiny_generation(d.path() / "model", d.path() / "corpus", d.path() / "run");
    o.generation.task = TaskChoice::automatic;
    o.generation.sampling.temperature = 1.0;
    o.generation.samples = 3;
    return o;
  }
};

TEST_F(PlanTexts, TextsAndMemoryAreThoseOfARun) {
  for (const std::int32_t streams : {0, 1, 5}) {
    RunOptions o = generation();
    o.streams = streams;
    o.overwrite = true;
    const RunPlan planned = plan(o);
    testing::QuietObserver observer;
    const RunSummary run = run_corpus(o, observer);
    ASSERT_TRUE(planned.writing);
    EXPECT_EQ(planned.writing->n_texts, 12.0) << "of two questions and two documents, three each";
    EXPECT_EQ(planned.writing->n_texts, static_cast<double>(run.n_generations));
    EXPECT_TRUE(planned.writing->texts_are_exact);
    EXPECT_EQ(planned.writing->n_written, 12.0 * 24.0);
    EXPECT_EQ(planned.step.n_streams, observer.info.streams);
    EXPECT_EQ(planned.memory.all_states_bytes, observer.info.state_bytes);
    EXPECT_EQ(planned.memory.state_bytes,
              observer.info.state_bytes / static_cast<std::uint64_t>(observer.info.streams));
    EXPECT_NEAR(static_cast<double>(planned.memory.workspace_bytes + planned.memory.buffer_bytes),
                static_cast<double>(observer.info.workspace_bytes), 16384.0);
  }
}

TEST_F(PlanTexts, PromptsStandAroundDocuments) {
  RunOptions o = generation();
  o.generation.task = TaskChoice::continuation;
  o.generation.samples = 1;
  const RunPlan bare = plan(o);
  EXPECT_EQ(bare.writing->prompt_tokens, 0);
  EXPECT_EQ(bare.writing->n_texts, 3.0) << "a continuation asks nothing";
  EXPECT_NEAR(bare.writing->n_read, 600.0, 1e-6);
  o.generation.max_document_tokens = 50;
  EXPECT_NEAR(plan(o).writing->n_read, 150.0, 1e-6);
  o.generation.max_document_tokens = 0;
  o.generation.strategy = Strategy::chunk;
  o.generation.max_new_tokens = 20;
  o.cache.chunk_tokens = 60;
  // 200 tokens: four pieces, their 80 tokens of answers two, and the 40 of these one.
  EXPECT_NEAR(plan(o).writing->n_read, 3 * (200.0 + 80.0 + 40.0), 1e-6);
  EXPECT_NEAR(plan(o).writing->n_written, 3 * 7 * 20.0, 1e-6);
  o = generation();
  o.generation.task = TaskChoice::summary;
  EXPECT_GT(plan(o).writing->prompt_tokens, 20);
}

TEST_F(PlanTexts, WritingIsMeasuredBesideReading) {
  for (const Policy policy : {Policy::tova, Policy::full}) {
    for (const std::int32_t n_layers : {1, 3}) {
      write_model(n_layers);
      RunOptions o = generation();
      o.cache.policy = policy;
      const RunPlan planned = plan(o, 2, true);
      ASSERT_TRUE(planned.calibration);
      const Calibration& c = *planned.calibration;
      EXPECT_EQ(c.n_writers, 6) << "twelve texts on two ranks";
      EXPECT_GT(c.writing_s, 0.0);
      EXPECT_NEAR(planned.written_per_second(), 2.0 * 6 / c.writing_s, 1e-6);
      EXPECT_GT(planned.seconds(), 12.0 * 24 / planned.written_per_second());
    }
  }
  EXPECT_FALSE(plan(options()).writing);
}

TEST(PlanShards, CutPlainJsonlOnly) {
  using Kind = CorpusFormat::Kind;
  using Compression = CorpusFormat::Compression;
  const std::vector<CorpusFile> files{{"/a.jsonl", 1000, {Kind::jsonl, Compression::none}},
                                      {"/b.jsonl.gz", 1000, {Kind::jsonl, Compression::gzip}},
                                      {"/c.txt", 1200, {Kind::text, Compression::none}}};
  const ShardPlan two = plan_shards(files, 2);
  EXPECT_EQ(two.most_bytes, 100u);
  EXPECT_EQ(two.n_shards, 12u);
  EXPECT_EQ(two.n_cut_files, 1u);
  EXPECT_EQ(two.n_whole_files, 2u);
  EXPECT_EQ(plan_shards({{"/a.jsonl", std::uint64_t{1} << 40, {Kind::jsonl, Compression::none}}}, 1)
                .most_bytes,
            64u << 20);
  EXPECT_EQ(plan_shards({}, 3).n_shards, 0u);
}

}  // namespace
}  // namespace tovamill
