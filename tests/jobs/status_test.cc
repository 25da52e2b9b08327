// tovamill status: its text from a report, and the built program on directories good and bad.
#include <gtest/gtest.h>

#include <algorithm>
#include <csignal>
#include <filesystem>

#include "jobs/commands/status_text.h"
#include "tests/support/error_of.h"
#include "tests/support/models/model_builder.h"
#include "tests/support/runs/running_program.h"
#include "tests/support/runs/score_runs.h"
#include "tests/support/runs/subprocess.h"
#include "tests/support/temporary_directory.h"

namespace tovamill {
namespace {

using nlohmann::json;
using testing::contains;
using testing::run_tovamill;
using testing::TemporaryDirectory;

RunProbe dead_probe() {
  return {.now_unix_s = 1'763'800'000.0,
          .host = "here",
          .boot_id = "boot",
          .tovamill_started = [](std::int64_t) { return std::optional<double>(); }};
}
RunProbe live_probe() {
  RunProbe probe = dead_probe();
  probe.tovamill_started = [](std::int64_t) { return std::optional<double>(0.0); };
  return probe;
}

json status_of(int n_ranks) {
  json status{{"state", "running"},
              {"pid", 9},
              {"launch", 2},
              {"documents", 1234},
              {"failed", 1},
              {"tokens", 56789},
              {"fraction", 0.5},
              {"bytes", 1048576},
              {"seconds", 100.0},
              {"seconds_left", 50.0},
              {"tokens_per_second", 300.0},
              {"updated_unix_s", 1'763'800'000.0 - 185.0}};
  for (int i = 0; i < n_ranks; ++i) {
    status["ranks"].push_back({{"rank", i},
                               {"host", "n" + std::to_string(i / 8)},
                               {"state", i % 100 == 7 ? "dead" : "working"},
                               {"tokens_per_second", i == 500 ? 1.0 : 100.0 + i},
                               {"silent_s", 0.1},
                               {"documents", i}});
  }
  status["failures"] = {{{"file", "/c/a.jsonl"},
                         {"offset", 77},
                         {"reason", "invalid-json"},
                         {"text", "no closing quote"}}};
  return status;
}

std::size_t n_lines(const std::string& text) {
  return static_cast<std::size_t>(std::count(text.begin(), text.end(), '\n'));
}

TEST(StatusText, OfALiveRunShowsTotalsRanksFailures) {
  const std::string text = status_text("run1", report_of(status_of(3), live_probe()), false);
  for (const char* part : {"run1: running, live, launch 2, process 9\n", "1,234 done, 1 failed",
                           "56,789, 300 per second", "50.0 % of 1.0 MiB", "1 min 40 s, 50.0 s left",
                           "rank  host  state", "3 ranks: 3 working",
                           "/c/a.jsonl, byte 77: invalid-json: no closing quote", "3 min 05 s"}) {
    EXPECT_TRUE(contains(text, part)) << part << "\n" << text;
  }
}

TEST(StatusText, OfADeadRunSaysSinceWhenAndWhatToDo) {
  const std::string text = status_text("run1", report_of(status_of(0), dead_probe()), false);
  EXPECT_TRUE(contains(text, "run1: dead since 2025-11-22 08:23:35 UTC (3 min 05 s ago)")) << text;
  EXPECT_TRUE(contains(text, "run the same command again to continue")) << text;
  EXPECT_FALSE(contains(text, " left")) << text;
}

TEST(StatusText, OfAThousandRanksShowsThoseThatMatter) {
  const RunReport report = report_of(status_of(1000), live_probe());
  const std::string text = status_text("r", report, false);
  EXPECT_LT(n_lines(text), 45u);
  EXPECT_TRUE(contains(text, "1,000 ranks: 10 dead, 990 working")) << text;
  EXPECT_TRUE(contains(text, "dead ranks            7 on n0, 107 on n13, ")) << text;
  const std::vector<std::size_t> which = ranks_that_matter(report.ranks, false);
  ASSERT_EQ(which.size(), 10u + 2 * kMostExtremesShown);
  EXPECT_EQ(which[0], 7u);
  EXPECT_EQ(which[10], 500u) << "the slowest";
  EXPECT_EQ(which.back(), 999u) << "the fastest";
  EXPECT_EQ(ranks_that_matter(report.ranks, true).size(), 1000u);
  EXPECT_GT(n_lines(status_text("r", report, true)), 1000u);
}

TEST(StatusText, OfAFailedRunTellsItsMessage) {
  json status = status_of(0);
  status.update(json{{"state", "failed"}, {"exit_code", 74}, {"message", "no space left"}});
  const std::string text = status_text("r", report_of(status, dead_probe()), false);
  EXPECT_TRUE(contains(text, "r: failed, exit code 74")) << text;
  EXPECT_TRUE(contains(text, "no space left")) << text;
  EXPECT_TRUE(contains(text, "mend what the message says")) << text;
}

TEST(StatusText, OfAStartThatWasRefusedSaysThatTheRunIsAsItWas) {
  json status = status_of(0);
  status.update(json{{"state", "failed"}, {"exit_code", 78}, {"message", "other options"}});
  const std::string text = status_text("r", report_of(status, dead_probe()), false);
  EXPECT_TRUE(contains(text, "the run is as it was before that start")) << text;
}

TEST(StatusText, TellsWhichFilesAreLeftOut) {
  json status = status_of(0);
  status.update(json{{"files", 1234}, {"left_out", "3 files, neither .txt nor .jsonl: 3 .md"}});
  const std::string text = status_text("r", report_of(status, dead_probe()), false);
  EXPECT_TRUE(contains(text, " in 1,234 files\n")) << text;
  EXPECT_TRUE(contains(text, "left out              3 files, neither")) << text;
}

class Status : public ::testing::Test {
 protected:
  testing::ProgramResult status(const std::vector<std::string>& more = {}) const {
    std::vector<std::string> arguments{"status", d.path() / "run"};
    arguments.insert(arguments.end(), more.begin(), more.end());
    return run_tovamill(arguments);
  }
  TemporaryDirectory d;
};

TEST_F(Status, Is66WhereThereIsNoRun) {
  const auto result = status();
  EXPECT_EQ(result.exit_code, 66);
  EXPECT_EQ(result.out, "");
  std::filesystem::create_directory(d.path() / "run");
  EXPECT_EQ(status().exit_code, 66);
}

TEST_F(Status, OfAFinishedRunPointsToItsResults) {
  write_hf_model(testing::TinyModel{}, d.path() / "model");
  d.write("corpus/a.txt", testing::words(40, 1));
  d.write("corpus/b.txt", "\xff");
  testing::score(testing::tiny_options(d.path() / "model", d.path() / "corpus", d.path() / "run"));
  const auto text = status();
  EXPECT_EQ(text.exit_code, 0) << text.err;
  EXPECT_TRUE(contains(text.out, "/run: done, exit code 0")) << text.out;
  EXPECT_TRUE(contains(text.out, "1 file, ")) << text.out;
  EXPECT_TRUE(contains(text.out, "2 documents")) << text.out;
  EXPECT_TRUE(contains(text.out, "tovamill export")) << text.out;
  const json all = json::parse(status({"--json"}).out);
  EXPECT_EQ(all["state"], "done");
  EXPECT_EQ(all["live"], false);
  EXPECT_EQ(all["journals"]["documents"], 2);
}

TEST_F(Status, OfJournalsAloneSaysWhatTheyHold) {
  write_hf_model(testing::TinyModel{}, d.path() / "model");
  d.write("corpus/a.txt", testing::words(40, 1));
  testing::score(testing::tiny_options(d.path() / "model", d.path() / "corpus", d.path() / "run"));
  std::filesystem::remove(d.path() / "run/status.json");
  const auto text = status();
  EXPECT_EQ(text.exit_code, 0) << text.err;
  EXPECT_TRUE(contains(text.out, "no status.json")) << text.out;
  EXPECT_TRUE(contains(text.out, "1 document\n")) << text.out;
}

TEST_F(Status, TellsALiveRunFromItsCorpse) {
  write_hf_model(testing::TinyModel{}, d.path() / "model");
  d.write("corpus/a.txt", testing::words(3'000'000, 1));
  testing::RunningProgram run({"score", "--model", d.path() / "model", "--corpus",
                               d.path() / "corpus", "--out", d.path() / "run", "--threads", "1"});
  ASSERT_TRUE(
      run.wait_until([&] { return std::filesystem::exists(d.path() / "run/status.json"); }));
  EXPECT_EQ(json::parse(status({"--json"}).out)["live"], true);
  EXPECT_TRUE(contains(status().out, ", live")) << status().out;
  run.send(SIGKILL);
  EXPECT_EQ(run.wait(), -SIGKILL);
  const auto dead = status();
  EXPECT_EQ(dead.exit_code, 0);
  EXPECT_TRUE(contains(dead.out, "dead since")) << dead.out;
  EXPECT_TRUE(contains(dead.out, "run the same command again to continue")) << dead.out;
}

TEST_F(Status, OfABrokenFileSaysThatItCannotBeRead) {
  for (const std::string& content :
       {std::string("\0\1\2", 3), std::string("{\"state\": "), std::string(100'000, '['),
        std::string("[]"), std::string("\"\xff\"")}) {
    d.write("run/status.json", content);
    const auto result = status();
    EXPECT_EQ(result.exit_code, 0) << result.err;
    EXPECT_TRUE(contains(result.out, "status.json cannot be read (it ")) << result.out;
    EXPECT_EQ(json::parse(status({"--json"}).out)["live"], false);
  }
}

}  // namespace
}  // namespace tovamill
