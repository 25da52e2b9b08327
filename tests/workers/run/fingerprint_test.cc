// When two starts are of the same run.
#include "workers/run/fingerprint.h"

#include <gtest/gtest.h>

#include <filesystem>

#include "io/results/hdf5_file.h"
#include "pipeline/run_directory/run_directory.h"
#include "tests/support/error_of.h"
#include "tests/support/runs/score_runs.h"
#include "tests/support/temporary_directory.h"
#include "workers/options/budgets.h"

namespace tovamill {
namespace {

using nlohmann::json;
using testing::contains;
using testing::error_of;

class Fingerprint : public ::testing::Test {
 protected:
  Fingerprint() {
    d.write("texts/a.txt", testing::words(40, 1));
    d.write("texts/deep/b.txt", testing::words(30, 2));
  }
  std::string at(const std::string& name) const { return d.path() / name; }
  RunOptions options(const std::vector<std::string>& corpus) const {
    RunOptions o = testing::tiny_options("random:tiny", "", at("run"));
    o.corpus.paths = corpus;
    return o;
  }
  static json print_of(const RunOptions& options) {
    const ModelMetadata head = open_model(options.model);
    return fingerprint(options, *head.files, head.config, *head.tokenizer, "f32");
  }
  json print(const std::vector<std::string>& corpus) const { return print_of(options(corpus)); }

  testing::TemporaryDirectory d;
};

TEST_F(Fingerprint, OfAllSpellingsOfACorpusIsTheSame) {
  const json expected = print({at("texts")});
  for (const std::string& spelling :
       std::vector<std::string>{"texts/", "texts//", "./texts", "texts/.", "texts/deep/..",
                                "../" + d.path().filename().string() + "/texts/"})
    EXPECT_EQ(print({at(spelling)}), expected) << spelling;
  EXPECT_EQ(print({at("texts/"), at("texts")}), expected);
  EXPECT_EQ(expected["corpus"], json({at("texts")}));
  EXPECT_NE(print({at("texts/deep")}), expected);
}

TEST_F(Fingerprint, DoesNotDependOnTheOrderOfTheCorpus) {
  const std::string a = at("texts/a.txt"), deep = at("texts/deep");
  EXPECT_EQ(print({a, deep}), print({deep, a}));
}

TEST_F(Fingerprint, OfAGlobOfDirectoriesDiffersFromThatOfAllThings) {
  EXPECT_NE(print({at("texts/*/")}), print({at("texts/*")}));
}

TEST_F(Fingerprint, FitsRunsThatKeptTheSpelling) {
  json before = print({at("texts")});
  before["corpus"] = {at("texts/")};
  EXPECT_NO_THROW(check_same(before, print({at("texts/.")}), "run"));
  before["corpus"] = {at("texts/deep/"), at("texts/a.txt")};
  EXPECT_NO_THROW(check_same(before, print({at("texts/a.txt"), at("texts/deep")}), "run"));
}

TEST_F(Fingerprint, OfOtherOptionsIsRefusedWithTheWaysOut) {
  const json before = print({at("texts")});
  RunOptions other = options({at("texts/deep")});
  other.cache.cache_size = 32;
  const std::string message =
      error_of([&] { check_same(before, print_of(other), "run"); }, ExitCode::configuration);
  for (const std::string& part :
       std::vector<std::string>{std::string("run: "), std::string("--cache-size was 16 and is 32"),
                                "--corpus was " + at("texts") + " and is " + at("texts/deep"),
                                std::string("a new --out"), std::string("--overwrite")})
    EXPECT_TRUE(contains(message, part)) << part << "\n" << message;
}

// Runs that began before there were these options have none of their fields.
TEST_F(Fingerprint, NamesMergedTokensAndLayerSizesWhereTheyAreGiven) {
  const json before = print({at("texts")});
  EXPECT_FALSE(before.contains("merge") || before.contains("budgets"));
  RunOptions merged = options({at("texts")}), tuned = merged, swept = merged;
  merged.cache.merge = 4;
  tuned.cache.cache_size = 64;
  tuned.budgets = d.write(
      "b.json",
      json_of(BudgetTable{
                  .model = "", .merge = 0, .sizes = {32, 64}, .errors = {{1.0, 0.5}, {0.5, 0.25}}})
          .dump());
  const json with_merged = print_of(merged), with_sizes = print_of(tuned);
  EXPECT_EQ(with_merged["merge"], "4");
  EXPECT_FALSE(with_merged.contains("budgets"));
  EXPECT_EQ(with_sizes["budgets"], "76 52");
  RunOptions renamed = tuned;
  renamed.budgets = d.path() / "other.json";
  std::filesystem::rename(tuned.budgets, renamed.budgets);
  EXPECT_EQ(print_of(renamed), with_sizes);
  const auto refuses = [&](const json& was, const json& is, const char* part) {
    const std::string message =
        error_of([&] { check_same(was, is, "run"); }, ExitCode::configuration);
    EXPECT_TRUE(contains(message, part)) << message;
  };
  refuses(before, with_merged, "--merge was not there and is 4");
  refuses(with_merged, before, "--merge was 4 and is not there");
  refuses(with_sizes, before, "--budgets was 76 52 and is not there");
  swept.sweep = "policy=tova,full cache-size=64";
  EXPECT_FALSE(contains(print_of(swept).dump(), "merge"));
  EXPECT_FALSE(contains(print_of(swept).dump(), "budgets"));
  swept.sweep = "policy=tova,full cache-size=64 merge=0,4 budgets=none," + renamed.budgets;
  const std::string lines = print_of(swept)["sweep"].dump();
  EXPECT_TRUE(contains(lines, "merge=4 budgets=74 54 ")) << lines;
  refuses(print_of(swept), before, "--sweep was ");
}

TEST_F(Fingerprint, ARunContinuesUnderAnotherSpellingWithTheSameFiles) {
  const auto files_of = [&](const std::string& corpus) {
    const RunSummary run = testing::score(options({at(corpus)}));
    EXPECT_EQ(run.n_documents, 2u);
    return Hdf5File(results_path(at("run")), Hdf5File::Mode::read)
        .read_strings("/documents/file", 0, 2);
  };
  const std::vector<std::string> expected{at("texts/a.txt"), at("texts/deep/b.txt")};
  for (const char* spelling : {"texts/", "texts", "./texts", "texts//", "texts/deep/../"})
    EXPECT_EQ(files_of(spelling), expected) << spelling;
}

}  // namespace
}  // namespace tovamill
