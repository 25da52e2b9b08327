// Several runs as one: over different files, or over the same in turns.
#include <gtest/gtest.h>

#include <filesystem>

#include "pipeline/run_directory/run_directory.h"
#include "tests/support/error_of.h"
#include "tests/support/models/model_builder.h"
#include "tests/support/runs/results_text.h"
#include "tests/support/runs/score_runs.h"
#include "tests/support/temporary_directory.h"

namespace tovamill {
namespace {

using testing::contains;
using testing::error_of;
using testing::Results;

class MergeRun : public ::testing::Test {
 protected:
  MergeRun() {
    testing::write_hf_model(testing::TinyModel{}, d.path() / "model");
    d.write("a.txt", testing::words(40, 1));
    std::string lines = "\n";
    for (int i = 0; i < 6; ++i)
      lines += "{\"text\":\"" + testing::digits(20 + static_cast<std::size_t>(i), 7) + "\"}\r\n\n";
    d.write("b.jsonl", lines);
  }

  std::string at(const std::string& name) const { return d.path() / name; }
  RunOptions options(const std::vector<std::string>& corpus, const std::string& out) const {
    RunOptions o = testing::tiny_options(at("model"), "", at(out));
    o.corpus.paths = corpus;
    return o;
  }
  std::string text(const std::string& run) const {
    return testing::results_text(results_path(at(run)));
  }

  testing::TemporaryDirectory d;
};

TEST_F(MergeRun, OfTwoFilesEqualsTheRunOverBoth) {
  testing::score(options({at("a.txt"), at("b.jsonl")}, "both"));
  testing::score(options({at("b.jsonl")}, "two"));
  testing::score(options({at("a.txt")}, "one"));
  const RunSummary summary = merge_run({at("two"), at("one")}, at("all"));
  EXPECT_TRUE(summary.complete);
  EXPECT_EQ(summary.n_documents, 7u);
  EXPECT_TRUE(text("all") == text("both"));
  std::vector<std::string> names;
  for (const auto& entry : std::filesystem::directory_iterator(at("all")))
    names.push_back(entry.path().filename());
  EXPECT_EQ(names, std::vector<std::string>{"results.h5"});
  merge_run({at("two"), at("one")}, at("all"));  // again over the old one
  EXPECT_TRUE(text("all") == text("both"));
}

TEST_F(MergeRun, OfSkippedAndLimitedRunsHasEachRecordOnce) {
  RunOptions first = options({at("b.jsonl")}, "first"), rest = options({at("b.jsonl")}, "rest");
  first.limit = 4;
  rest.skip = 3;
  testing::score(first);
  testing::score(rest);
  testing::score(options({at("b.jsonl")}, "whole"));
  merge_run({at("first"), at("rest")}, at("all"));
  const Results merged(at("all")), whole(at("whole"));
  EXPECT_EQ(merged.id, whole.id);
  EXPECT_EQ(merged.line, (std::vector<std::uint64_t>{2, 4, 6, 8, 10, 12}));
  EXPECT_EQ(merged.nll_sum, whole.nll_sum);
}

TEST_F(MergeRun, RefusesOtherOptionsAndDirectoriesThatHoldOtherThings) {
  RunOptions other = options({at("b.jsonl")}, "other");
  other.cache.cache_size = 12;
  testing::score(options({at("a.txt")}, "one"));
  testing::score(other);
  const auto merge = [&](const std::string& out) { merge_run({at("one"), at("other")}, at(out)); };
  EXPECT_TRUE(contains(error_of([&] { merge("all"); }, ExitCode::configuration), "--cache-size"));
  EXPECT_FALSE(std::filesystem::exists(results_path(at("all"))));
  const std::string before = text("one");
  EXPECT_TRUE(contains(error_of([&] { merge("one"); }, ExitCode::configuration), "--out"));
  EXPECT_TRUE(contains(error_of([&] { merge("model"); }, ExitCode::configuration), "--out"));
  EXPECT_TRUE(contains(error_of([&] { merge("a.txt"); }, ExitCode::cannot_create), "--out"));
  EXPECT_TRUE(text("one") == before);
  EXPECT_TRUE(contains(error_of(
                           [&] {
                             merge_run({at("one"), at("model")}, at("all"));
                           },
                           ExitCode::no_input),
                       "holds no journals"));
}

}  // namespace
}  // namespace tovamill
