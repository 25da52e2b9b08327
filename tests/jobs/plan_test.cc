// tovamill plan through the built program: text, JSON, and what it refuses.
#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

#include "jobs/commands/plan_text.h"
#include "tests/support/error_of.h"
#include "tests/support/models/model_builder.h"
#include "tests/support/runs/score_runs.h"
#include "tests/support/runs/subprocess.h"
#include "tests/support/temporary_directory.h"

namespace tovamill {
namespace {

using testing::contains;
using testing::run_tovamill;

class PlanCommand : public ::testing::Test {
 protected:
  PlanCommand() {
    write_hf_model(testing::TinyModel{}, d.path() / "model");
    d.write("corpus/a.txt", testing::digits(300, 1));
    d.write("corpus/b.jsonl", "{\"text\": \"0123456789\"}\n");
  }
  testing::ProgramResult plan(const std::vector<std::string>& more,
                              const std::vector<std::string>& environment = {}) const {
    std::vector<std::string> all{"plan",     "--model",           d.path() / "model",
                                 "--corpus", d.path() / "corpus", "--no-calibration"};
    all.insert(all.end(), more.begin(), more.end());
    return run_tovamill(all, environment);
  }
  testing::TemporaryDirectory d;
};

TEST_F(PlanCommand, PrintsCorpusShardsMemory) {
  const auto result = plan({"--ranks", "2", "--threads", "1"});
  EXPECT_EQ(result.exit_code, 0) << result.err;
  for (const char* part : {"documents             2\n", "tokens                310 in ", "shards ",
                           "for 2 ranks", "a.txt, 300 bytes, 97 % of the tokens",
                           "states of 2 streams", "page cache", "not measured"}) {
    EXPECT_TRUE(contains(result.out, part)) << part << "\n" << result.out;
  }
}

TEST_F(PlanCommand, TellsWhatIsLeftOut) {
  d.write("corpus/notes.md", "notes");
  d.write("corpus/table.parquet", "table");
  const auto text = plan({});
  EXPECT_TRUE(contains(
      text.out,
      "left out              2 files, neither .txt nor .jsonl nor .ndjson: 1 .md, 1 .parquet\n"))
      << text.out;
  EXPECT_EQ(nlohmann::json::parse(plan({"--json"}).out)["files_left_out"], 2);
}

TEST_F(PlanCommand, SeparatesThousandsForPeopleOnly) {
  d.write("corpus/long.txt", testing::digits(12345, 3));
  EXPECT_TRUE(contains(plan({}).out, "tokens                12,655 in")) << plan({}).out;
  EXPECT_EQ(nlohmann::json::parse(plan({"--json"}).out)["tokens"], 12655);
}

TEST_F(PlanCommand, PrintsOneJsonObject) {
  const auto result = plan({"--json", "--ranks", "3"});
  EXPECT_EQ(result.exit_code, 0) << result.err;
  const auto json = nlohmann::json::parse(result.out);
  EXPECT_EQ(json["tokens"], 310);
  EXPECT_EQ(json["tokens_exact"], true);
  EXPECT_EQ(json["ranks"], 3);
  EXPECT_EQ(json["kinds"].size(), 2u);
  EXPECT_TRUE(json["calibration"].is_null());
  EXPECT_TRUE(json["seconds"].is_null());
  EXPECT_GT(json["memory"]["needed_bytes"], 0);
}

TEST_F(PlanCommand, MeasuresUnlessToldNotTo) {
  const auto result = run_tovamill({"plan", "--model", d.path() / "model", "--corpus",
                                    d.path() / "corpus", "--threads", "1", "--json"});
  EXPECT_EQ(result.exit_code, 0) << result.err;
  const auto json = nlohmann::json::parse(result.out);
  EXPECT_GT(json["tokens_per_second"], 0.0);
  EXPECT_GT(json["seconds"], 0.0);
  EXPECT_EQ(json["threads"], 1);
}

TEST_F(PlanCommand, PlansTextsToo) {
  const auto text = plan({"--job", "summarize", "--max-new-tokens", "10"});
  EXPECT_EQ(text.exit_code, 0) << text.err;
  for (const char* part :
       {"task summary: ", "tokens around a document", "texts                 2\n",
        "tokens written        at most 20, where", "states of 2 streams"})
    EXPECT_TRUE(contains(text.out, part)) << part << "\n" << text.out;
  const auto measured = run_tovamill({"plan", "--model", d.path() / "model", "--corpus",
                                      d.path() / "corpus", "--threads", "1", "--json", "--job",
                                      "generate", "--samples", "2", "--temperature", "1"});
  EXPECT_EQ(measured.exit_code, 0) << measured.err;
  const auto json = nlohmann::json::parse(measured.out);
  EXPECT_EQ(json["job"], "generate");
  EXPECT_EQ(json["texts"], 4);
  EXPECT_EQ(json["tokens_written_most"], 4 * 256);
  EXPECT_EQ(json["calibration"]["writers"], 4);
  EXPECT_GT(json["tokens_written_per_second"], 0.0);
  EXPECT_EQ(plan({"--job", "read"}).exit_code, 64);
  EXPECT_EQ(plan({"--job", "generate", "--samples", "2"}).exit_code, 78) << "greedy: all equal";
  EXPECT_EQ(plan({"--job", "generate", "--prompt", d.path() / "nothing"}).exit_code, 66);
}

TEST_F(PlanCommand, RefusesWhatAScoreWould) {
  EXPECT_EQ(plan({"--ranks", "-1"}).exit_code, 78);
  EXPECT_EQ(plan({"--ranks", "two"}).exit_code, 64);
  EXPECT_EQ(plan({"--sinks", "4"}).exit_code, 78);
  EXPECT_EQ(plan({"--glob", "*.zst"}).exit_code, 66);
  EXPECT_EQ(run_tovamill({"plan", "--corpus", d.path() / "corpus"}).exit_code, 64);
  d.write("model/config.json", "{}");
  EXPECT_EQ(plan({}).exit_code, 65);
}

TEST_F(PlanCommand, SaysWhatKeepsARunFromStarting) {
  const auto result = plan({"--memory-budget", "1"});
  EXPECT_EQ(result.exit_code, 0) << result.err;
  EXPECT_TRUE(contains(result.out, "it would not start    --memory-budget 1")) << result.out;
}

TEST(PlanText, EstimatesAreRoundedAndMarked) {
  RunPlan plan;
  plan.corpus.n_documents = 123'456.0;
  plan.corpus.n_tokens = 987'654'321.0;
  EXPECT_TRUE(contains(plan_text(plan), "documents             about 123,000\n"));
  EXPECT_TRUE(contains(plan_text(plan), "tokens                about 988,000,000 in"));
  plan.corpus.documents_are_exact = true;
  EXPECT_TRUE(contains(plan_text(plan), "documents             123,456\n"));
}

TEST(PlanText, SaysWhatTheLargestFileMeansForTheEnd) {
  RunPlan plan;
  plan.n_ranks = 8;
  plan.corpus.n_tokens = 1000.0;
  plan.corpus.largest = {.path = "/c/long.txt", .n_bytes = 2000, .n_tokens = 400.0};
  plan.calibration = Calibration{.n_rows = 100, .step_s = 1.0};
  std::string text = plan_text(plan);
  EXPECT_TRUE(contains(text, "/c/long.txt, 2.0 KiB, 40 % of the tokens")) << text;
  EXPECT_TRUE(contains(text, "more than 3 ranks gain nothing")) << text;
  EXPECT_TRUE(contains(text, "4.0 s of computing with 8 ranks, as long as the largest file"))
      << text;
  plan.corpus.largest.n_tokens = 100.0;
  text = plan_text(plan);
  EXPECT_TRUE(contains(text, "80 % of a rank's time")) << text;
  EXPECT_TRUE(contains(text, "1.2 s of computing with 8 ranks")) << text;
}

}  // namespace
}  // namespace tovamill
