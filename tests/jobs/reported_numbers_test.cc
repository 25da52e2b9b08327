// Numbers that are none, in what the program prints: JSON without NaN, no speed over no time.
#include <gtest/gtest.h>

#include <nlohmann/json.hpp>
#include <sstream>
#include <string>
#include <vector>

#include "tests/support/models/file_builders.h"
#include "tests/support/models/model_builder.h"
#include "tests/support/runs/subprocess.h"
#include "tests/support/temporary_directory.h"

namespace tovamill {
namespace {

using nlohmann::json;
using testing::ProgramResult;
using testing::run_tovamill;

// Every line of an output as JSON; fails the test where one is none, as with NaN in it.
std::vector<json> json_lines(const std::string& out) {
  std::vector<json> objects;
  std::istringstream lines(out);
  for (std::string line; std::getline(lines, line);) {
    objects.push_back(json::parse(line, nullptr, false));
    EXPECT_FALSE(objects.back().is_discarded()) << line;
  }
  return objects;
}

struct ReportedCorpus {
  const char* report;
  const char* records;
  int n_documents, n_failed, n_unscored;
  bool has_perplexity, has_error;
};

TEST(ReportedNumbers, AreNullInJsonAndEmptyInTables) {
  const std::vector<ReportedCorpus> all{
      {"esnet/iperf#370: nothing to read", "", 0, 0, 0, false, false},
      {"Netflix/vmaf#215: no number at all", "{\"text\":\"7\"}\n", 1, 0, 1, false, false},
      {"redis/memtier_benchmark#271: nothing good", "{\"text\":3}\n", 1, 1, 0, false, false},
      {"EleutherAI/lm-evaluation-harness#1106: one document", "{\"text\":\"the cat 1\"}\n", 1, 0, 0,
       true, false},
      {"dotnet/BenchmarkDotNet#1242: two, and others",
       "{\"text\":\"the cat 1\"}\n{\"text\":\"7\"}\n{\"text\":\"on 2\"}\n{\"text\":\"\"}\n", 4, 1,
       1, true, true},
  };
  testing::TemporaryDirectory d;
  write_hf_model(testing::TinyModel{}, d.path() / "model");
  int i = 0;
  for (const ReportedCorpus& c : all) {
    SCOPED_TRACE(c.report);
    const std::string corpus = d.write("c" + std::to_string(++i) + ".jsonl", c.records),
                      out = d.path() / ("run" + std::to_string(i));
    const std::vector<std::string> score{
        "score",     "--model", d.path() / "model", "--corpus", corpus,         "--out", out,
        "--threads", "1",       "--device",         "cpu",      "--log-format", "json"};
    // The second start has nothing left to do: ggml-org/llama.cpp#11915, InternLM/lmdeploy#505.
    for (const bool again : {false, true}) {
      const ProgramResult run = run_tovamill(score);
      ASSERT_EQ(run.exit_code, 0) << run.err;
      const json last = json_lines(run.out).back();
      EXPECT_EQ(last["event"], "finished");
      EXPECT_EQ(last["documents"], c.n_documents);
      EXPECT_EQ(last["failed"], c.n_failed);
      EXPECT_EQ(last["unscored"], c.n_unscored);
      for (const char* name : {"perplexity_token", "perplexity_word", "bits_per_byte"}) {
        EXPECT_EQ(last[name].is_number(), c.has_perplexity) << name;
        EXPECT_EQ(last[std::string(name) + "_se"].is_number(), c.has_error) << name;
      }
      EXPECT_TRUE(last["tokens_per_second"].is_number()) << last;
      if (again && c.n_documents > 0) {
        EXPECT_EQ(last["tokens_per_second"], 0.0);
      }
    }
    const ProgramResult exported = run_tovamill({"export", out, "--format", "jsonl"});
    const std::vector<json> rows = json_lines(exported.out);
    EXPECT_EQ(rows.size(), static_cast<std::size_t>(c.n_documents));
    for (const json& row : rows) {
      const bool is_scored = row["status"] == "scored";
      for (const char* name : {"nll_sum", "nll_sum_sq", "perplexity_token", "bits_per_byte"})
        EXPECT_EQ(row[name].is_number(), is_scored) << row;
    }
    const std::string table = run_tovamill({"export", out}).out;
    for (const char* text : {"nan", "inf", "NaN"})
      EXPECT_EQ(table.find(text), std::string::npos) << table;
    EXPECT_TRUE(json::accept(run_tovamill({"status", out, "--json"}).out));
  }
}

}  // namespace
}  // namespace tovamill
