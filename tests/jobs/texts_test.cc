// Journals with generated texts through the built program: merge, export, inspect.
#include <gtest/gtest.h>

#include <nlohmann/json.hpp>
#include <sstream>

#include "pipeline/run_directory/run_directory.h"
#include "tests/support/runs/subprocess.h"
#include "tests/support/runs/synthetic_run.h"
#include "tests/support/temporary_directory.h"

namespace tovamill {
namespace {

using nlohmann::json;
using testing::ProgramResult;
using testing::run_tovamill;

json json_of(const std::vector<std::string>& arguments) {
  const ProgramResult result = run_tovamill(arguments);
  EXPECT_EQ(result.exit_code, 0) << result.err;
  return json::parse(result.out);
}

TEST(Texts, AreMergedExportedAndInspected) {
  testing::TemporaryDirectory d;
  std::vector<DocumentRecord> records;
  std::uint64_t n_texts = 0, n_new = 0, n_failed = 0, n_stop = 0;
  for (int i = 0; i < 40; ++i) {
    const auto& r = records.emplace_back(testing::synthetic_document(i, {.generations = true}));
    n_texts += r.generations.size();
    n_failed += r.status == DocumentRecord::Status::failed;
    for (const Generation& g : r.generations) {
      n_new += g.n_new_tokens;
      n_stop += g.finish_reason == FinishReason::stop;
    }
  }
  const std::string run = d.path() / "run";
  testing::write_journal(run, 0, 1, records);

  const json journal = json_of({"inspect", journal_path(run, 0, 1), "--json"});
  EXPECT_EQ(journal["job"], "generate");
  EXPECT_EQ(journal["documents_generated"], 40 - n_failed);
  EXPECT_EQ(journal["texts"], n_texts);
  EXPECT_EQ(journal["new_tokens"], n_new);
  EXPECT_EQ(journal["texts_stop"], n_stop);
  EXPECT_EQ(journal["texts_length"], n_texts - n_stop);
  EXPECT_FALSE(journal.contains("nll_sum"));

  EXPECT_EQ(run_tovamill({"merge", run}).exit_code, 0);
  const json results = json_of({"inspect", run, "--json"});
  EXPECT_EQ(results["groups"]["/"]["job"], "generate");
  EXPECT_EQ(results["groups"]["/summary"]["n_generations"], n_texts);
  EXPECT_EQ(results["groups"]["/summary"]["n_stop"], n_stop);
  EXPECT_EQ(results["datasets"]["/generations/text"]["shape"][0], n_texts);

  const ProgramResult exported = run_tovamill({"export", run, "--format", "jsonl"});
  EXPECT_EQ(exported.exit_code, 0) << exported.err;
  std::istringstream lines(exported.out);
  std::uint64_t n_objects = 0, n_failures = 0;
  for (std::string line; std::getline(lines, line); ++n_objects)
    n_failures += json::parse(line).contains("failure_reason");
  EXPECT_EQ(n_failures, n_failed);
  EXPECT_EQ(n_objects, n_texts + n_failed);
}

TEST(Texts, AreScoredAgainWhereTheyHaveReferences) {
  testing::TemporaryDirectory d;
  std::vector<DocumentRecord> records;
  for (int i = 0; i < 40; ++i)
    records.push_back(testing::synthetic_document(i, {.generations = true}));
  const std::string run = d.path() / "run", copy = d.path() / "copy.h5";
  testing::write_journal(run, 0, 1, records);
  ASSERT_EQ(run_tovamill({"merge", run}).exit_code, 0);
  const ProgramResult rescored = run_tovamill({"rescore", run, "--stem", "--out", copy});
  EXPECT_EQ(rescored.exit_code, 0) << rescored.err;
  EXPECT_NE(rescored.out.find("\nrougeL "), std::string::npos) << rescored.out;
  EXPECT_NE(rescored.out.find(copy), std::string::npos) << rescored.out;
  const json before = json_of({"inspect", run, "--json"}),
             after = json_of({"inspect", copy, "--json"});
  EXPECT_EQ(after["groups"]["/summary"]["n_with_references"],
            before["groups"]["/summary"]["n_with_references"]);
  EXPECT_NE(after["groups"]["/"]["text_scores_definition"].get<std::string>().find("stemmed"),
            std::string::npos);
  EXPECT_EQ(run_tovamill({"rescore", d.path() / "nothing.h5"}).exit_code, 66);
}

TEST(Texts, OfAJobThatScoresAreNotSpokenOf) {
  testing::TemporaryDirectory d;
  testing::write_journal(d.path(), 0, 1, {testing::synthetic_document(1)});
  const json journal = json_of({"inspect", journal_path(d.path(), 0, 1), "--json"});
  EXPECT_EQ(journal["job"], "score");
  EXPECT_EQ(journal["documents_scored"], 1);
  ASSERT_EQ(run_tovamill({"merge", d.path()}).exit_code, 0);
  const ProgramResult rescored = run_tovamill({"rescore", d.path()});
  EXPECT_EQ(rescored.exit_code, 65);
  EXPECT_NE(rescored.err.find("holds no generated texts"), std::string::npos) << rescored.err;
  EXPECT_FALSE(journal.contains("texts"));
}

}  // namespace
}  // namespace tovamill
