// What a corpus passes over, and what is said of it.
#include "io/corpus/left_out.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include <nlohmann/json.hpp>

#include "io/corpus/corpus.h"
#include "tests/support/error_of.h"
#include "tests/support/temporary_directory.h"

namespace tovamill {
namespace {

using nlohmann::json;
using testing::contains;

class LeftOutFiles : public ::testing::Test {
 protected:
  LeftOut left_out(const std::string& glob = "", const std::vector<std::string>& more = {}) const {
    CorpusOptions options;
    options.paths = {d.path() / "c"};
    options.paths.insert(options.paths.end(), more.begin(), more.end());
    options.glob = glob;
    LeftOut left;
    list_corpus(options, &left);
    return left;
  }
  void write(const std::vector<std::string>& names) const {
    for (const std::string& name : names) d.write("c/" + name, "x");
  }
  testing::TemporaryDirectory d;
};

TEST_F(LeftOutFiles, AreCountedByEndingTheMostFrequentFirst) {
  write({"a.txt", "b.jsonl", "c.TXT.GZ", "d.ndjson.xz"});
  EXPECT_EQ(left_out().text(), "");
  write({"1.md", "2.MD", "deep/3.md", "a.parquet", "b.parquet", "c.zip", "d.csv.gz", "README"});
  EXPECT_EQ(left_out().text(),
            "8 files, neither .txt nor .jsonl nor .ndjson: 3 .md, 2 .parquet, 1 without an ending, "
            "1 .csv.gz, "
            "1 .zip");
  EXPECT_EQ(
      json(left_out().json()),
      json({{"by_ending", {{".md", 3}, {".parquet", 2}, {".csv.gz", 1}, {".zip", 1}, {"", 1}}},
            {"not_matching_glob", 0},
            {"hidden", 0},
            {"not_regular", 0},
            {"links", 0},
            {"run_directories", 0}}));
}

TEST_F(LeftOutFiles, OfManyEndingsAreCutShort) {
  write({"a.txt"});
  for (int i = 0; i < 20; ++i) write({"f.e" + std::to_string(i)});
  EXPECT_TRUE(left_out().text().ends_with(", 14 of other endings")) << left_out().text();
}

TEST_F(LeftOutFiles, WithStrangeNamesDoNotReachTheTerminal) {
  write({"a.txt", "b.\x1b[31m", "c.much longer than an ending", "d.\xff"});
  EXPECT_EQ(left_out().text(), "3 files, neither .txt nor .jsonl nor .ndjson: 3 without an ending");
}

TEST_F(LeftOutFiles, AreNoHiddenOnesOfOtherEndings) {
  write({"a.txt", ".hidden.md", ".git/config"});
  EXPECT_EQ(left_out().text(), "");
}

TEST_F(LeftOutFiles, ThatTheGlobDoesNotMatchAreANumber) {
  write({"a.txt", "b.jsonl", "c.md", "d.zip"});
  EXPECT_EQ(left_out("*.txt").text(), "3 files not matched by --glob");
  EXPECT_EQ(
      left_out("[acd]*").text(),
      "2 files, neither .txt nor .jsonl nor .ndjson: 1 .md, 1 .zip; 1 file not matched by --glob");
}

TEST_F(LeftOutFiles, CountOnceHoweverManyPathsLeadToThem) {
  write({"a.txt", "b.md"});
  const std::string c = d.path() / "c";
  EXPECT_EQ(left_out("", {c + "/", c + "/*", c + "/./*.md"}).n_files(), 1u);
}

TEST_F(LeftOutFiles, RunDirectoriesAreOneThingAndNotRead) {
  write({"a.txt", "run1/status.json", "run1/journal/0-1.log", "run1/results.h5", "run1/own.txt",
         "journal/diary.txt"});
  EXPECT_EQ(left_out().text(), "1 run directory");
  CorpusOptions options;
  options.paths = {d.path() / "c"};
  EXPECT_EQ(list_corpus(options).size(), 2u);
  write({"run2/status.json", "run2/journal/0-1.log", "b.md"});
  EXPECT_EQ(left_out().text(),
            "1 file, neither .txt nor .jsonl nor .ndjson: 1 .md; 2 run directories");
}

TEST_F(LeftOutFiles, WhatTheRunWritesIsNotReadUnderAnyName) {
  write({"a.txt", "own.jsonl"});
  CorpusOptions options;
  options.paths = {d.path() / "c"};
  options.own_output = d.path() / "c/../c/own.jsonl";
  LeftOut left;
  EXPECT_EQ(list_corpus(options, &left).size(), 1u);
  EXPECT_EQ(left.text(), "what this run writes");
  options.own_output = d.path() / "not there.jsonl";
  EXPECT_EQ(list_corpus(options, &left).size(), 2u);
}

TEST_F(LeftOutFiles, AreToldWhereNothingElseIsThere) {
  write({"a.md", "b.pdf"});
  CorpusOptions options;
  options.paths = {d.path() / "c"};
  const std::string message = testing::error_of([&] { list_corpus(options); }, ExitCode::no_input);
  EXPECT_TRUE(
      contains(message, "(left out: 2 files, neither .txt nor .jsonl nor .ndjson: 1 .md, 1 .pdf)"))
      << message;
}

TEST_F(LeftOutFiles, AGlanceSeesSmallCorporaAsTheyAre) {
  write({"a.txt", "b.md", "deep/b.jsonl", "c.txt"});
  CorpusOptions options;
  options.paths = {d.path() / "c", d.path() / "c/a.txt"};
  ASSERT_TRUE(glance_at_corpus(options, 4));
  EXPECT_EQ(glance_at_corpus(options, 4)->size(), 3u);
  EXPECT_FALSE(glance_at_corpus(options, 3));
}

}  // namespace
}  // namespace tovamill
