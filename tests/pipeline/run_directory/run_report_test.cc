// A run directory read by somebody else: live or dead, tolerant of whatever status.json holds.
#include "pipeline/run_directory/run_report.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>

#include "tests/support/error_of.h"
#include "tests/support/runs/synthetic_run.h"
#include "tests/support/temporary_directory.h"

namespace tovamill {
namespace {

using nlohmann::json;
using testing::contains;
using testing::TemporaryDirectory;

constexpr double kNow = 1'000'000.0;
constexpr std::int64_t kPid = 42;

// This host is "here", booted as "boot"; process 42 is a tovamill since `begun`, if at all.
RunProbe probe(std::optional<double> begun = kNow - 600.0) {
  return {
      .now_unix_s = kNow,
      .host = "here",
      .boot_id = "boot",
      .tovamill_started = [begun](std::int64_t pid) { return pid == kPid ? begun : std::nullopt; }};
}

json running(const std::string& host = "here", const std::string& boot_id = "boot") {
  return {{"state", "running"},
          {"host", host},
          {"boot_id", boot_id},
          {"pid", kPid},
          {"started_unix_s", kNow - 590.0},
          {"updated_unix_s", kNow - 100.0}};
}

TEST(RunReport, OfThisHostLivesAsLongAsItsProcess) {
  EXPECT_TRUE(report_of(running(), probe()).live) << "however long it has not written";
  EXPECT_FALSE(report_of(running(), probe(std::nullopt)).live);
  json other = running();
  other["pid"] = kPid + 1;
  EXPECT_FALSE(report_of(other, probe()).live);
  other["pid"] = "42";
  EXPECT_FALSE(report_of(other, probe()).live);
}

TEST(RunReport, AProcessThatBeganLaterIsAnother) {
  EXPECT_FALSE(report_of(running(), probe(kNow - 500.0)).live);
  EXPECT_TRUE(report_of(running(), probe(kNow - 590.0)).live);
}

TEST(RunReport, OfAnotherHostLivesIfItWroteInTheLastHalfMinute) {
  for (const auto& [host, boot] : {std::pair("there", "boot"), std::pair("here", "later boot")}) {
    json status = running(host, boot);
    EXPECT_FALSE(report_of(status, probe()).live) << host;
    status["updated_unix_s"] = kNow - 29.0;
    EXPECT_TRUE(report_of(status, probe(std::nullopt)).live) << host;
    status["updated_unix_s"] = kNow + 1e9;
    EXPECT_FALSE(report_of(status, probe()).live) << "a clock that is far off says nothing";
    status.erase("updated_unix_s");
    EXPECT_FALSE(report_of(status, probe()).live);
  }
}

TEST(RunReport, OlderFilesWithoutHostAreTakenForThisOne) {
  json status = running();
  status.erase("host");
  status.erase("boot_id");
  EXPECT_TRUE(report_of(status, probe()).live);
  EXPECT_FALSE(report_of(status, probe(std::nullopt)).live);
}

TEST(RunReport, FinalStatesAreNotLive) {
  for (const char* state : {"done", "stopped", "failed", "lost"}) {
    json status = running();
    status["state"] = state;
    const RunReport report = report_of(status, probe());
    EXPECT_FALSE(report.live) << state;
    EXPECT_TRUE(report.is_final) << state;
  }
  for (const char* state : {"starting", "running", "merging"}) {
    json status = running();
    status["state"] = state;
    EXPECT_TRUE(report_of(status, probe()).live) << state;
    EXPECT_FALSE(report_of(status, probe()).is_final) << state;
  }
}

TEST(RunReport, ReadsEveryFieldOfTheStatus) {
  json status = running();
  status.update(json{{"exit_code", 75},
                     {"message", "m"},
                     {"launch", 3},
                     {"launch_id", "id"},
                     {"documents", 10},
                     {"failed", 2},
                     {"set_aside", 1},
                     {"tokens", 1000},
                     {"tokens_per_second", 12.5},
                     {"fraction", 0.25},
                     {"seconds", 80.0},
                     {"seconds_left", 240.0},
                     {"bytes", 4096},
                     {"bytes_done", 1024},
                     {"files", 5}});
  status["ranks"] = {{{"rank", 7},
                      {"host", "n1"},
                      {"device", "CPU"},
                      {"state", "dead"},
                      {"silent_s", 0.5},
                      {"documents", 4},
                      {"failed", 1},
                      {"tokens", 50},
                      {"tokens_per_second", 2.5},
                      {"seconds_computing", 1.0},
                      {"seconds_waiting", 2.0},
                      {"seconds_writing", 3.0},
                      {"note", "killed?"}}};
  status["failures"] = {{{"file", "a.txt"}, {"offset", 9}, {"reason", "empty"}, {"text", "t"}}};
  const RunReport r = report_of(status, probe());
  EXPECT_EQ(r.exit_code, 75);
  EXPECT_EQ(r.message, "m");
  EXPECT_EQ(r.launch, 3u);
  EXPECT_EQ(r.launch_id, "id");
  EXPECT_EQ(r.n_documents, 10u);
  EXPECT_EQ(r.n_failed, 2u);
  EXPECT_EQ(r.n_quarantined, 1u);
  EXPECT_EQ(r.n_tokens, 1000u);
  EXPECT_EQ(r.tokens_per_second, 12.5);
  EXPECT_EQ(r.fraction, 0.25);
  EXPECT_EQ(r.seconds_left, 240.0);
  EXPECT_EQ(r.n_bytes_done, 1024u);
  EXPECT_EQ(r.n_files, 5u);
  EXPECT_EQ(r.age_s, 100.0);
  ASSERT_EQ(r.ranks.size(), 1u);
  EXPECT_EQ(r.ranks[0].rank, 7u);
  EXPECT_EQ(r.ranks[0].state, "dead");
  EXPECT_EQ(r.ranks[0].seconds_writing, 3.0);
  EXPECT_EQ(r.ranks[0].note, "killed?");
  ASSERT_EQ(r.failures.size(), 1u);
  EXPECT_EQ(r.failures[0].offset, 9u);
  EXPECT_FALSE(report_of({{"seconds_left", -1.0}}, probe()).seconds_left) << "negative is unknown";
}

TEST(RunReport, FieldsOfAnotherTypeAreMissing) {
  const json odd = json::parse(R"({"state": 3, "pid": [], "documents": -5, "failed": "2",
      "tokens": 1e300, "tokens_per_second": {}, "fraction": null, "updated_unix_s": "now",
      "launch": true, "exit_code": 1e19, "ranks": [1, "x", null, {"rank": "a", "state": []}],
      "failures": {"file": "x"}, "message": "a\u001b[2Jb\n", "bytes": -0.5})");
  const RunReport r = report_of(odd, probe());
  EXPECT_FALSE(r.live);
  EXPECT_EQ(r.state, "");
  EXPECT_FALSE(r.pid || r.n_documents || r.n_failed || r.n_tokens || r.tokens_per_second ||
               r.fraction || r.updated_unix_s || r.launch || r.exit_code || r.n_bytes || r.age_s);
  ASSERT_EQ(r.ranks.size(), 1u);
  EXPECT_FALSE(r.ranks[0].rank);
  EXPECT_EQ(r.failures.size(), 0u);
  EXPECT_EQ(r.message, "a [2Jb ") << "nothing in it moves a cursor";
  EXPECT_FALSE(report_of(json::array({1, 2}), probe()).live);
}

class Directory : public ::testing::Test {
 protected:
  RunReport read() const { return read_run_report(d.path(), probe()); }
  TemporaryDirectory d;
};

TEST_F(Directory, WithoutARunIsNoInput) {
  const auto refused = [](const std::string& path) {
    return testing::error_of([&] { read_run_report(path, probe()); }, ExitCode::no_input);
  };
  EXPECT_TRUE(contains(refused(d.path()), "is it a run directory?"));
  EXPECT_TRUE(contains(refused(d.path() / "missing"), "is not a directory"));
  EXPECT_TRUE(contains(refused(d.write("file", "")), "is not a directory"));
}

TEST_F(Directory, UnreadableStatusIsSaidAndNeverThrows) {
  std::filesystem::create_directory(d.path() / "journal");
  const auto problem = [&](const std::string& content) {
    d.write("status.json", content);
    const RunReport report = read();
    EXPECT_FALSE(report.live);
    return report.problem;
  };
  EXPECT_EQ(problem(""), "is not valid JSON");
  EXPECT_EQ(problem("{\"state\": \"runn"), "is not valid JSON");
  EXPECT_EQ(problem(std::string("\0\xff\xfe{}", 5)), "is not valid JSON");
  EXPECT_EQ(problem("{\"state\": \"\xff\"}"), "is not valid JSON");
  EXPECT_EQ(problem("{\"pid\": 1e999}"), "is not valid JSON");
  EXPECT_EQ(problem("[1, 2]"), "is not a JSON object");
  EXPECT_EQ(problem(std::string(1 << 20, '[')), "nests too deeply");
  EXPECT_TRUE(contains(problem(std::string((16u << 20) + 1, ' ')), "more than a status may have"));
  EXPECT_EQ(problem("{}"), "");
  std::filesystem::remove(d.path() / "status.json");
  EXPECT_EQ(read().problem, "is not there");
  std::filesystem::create_directory(d.path() / "status.json");
  EXPECT_EQ(read().problem, "is not a file");
}

TEST_F(Directory, CountsWhatTheJournalsHold) {
  d.write("status.json", R"({"state": "running", "updated_unix_s": 5})");
  EXPECT_EQ(read().journals.n, 0u);
  std::vector<DocumentRecord> first, second;
  for (int i = 0; i < 12; ++i) first.push_back(testing::synthetic_document(i));
  for (int i = 10; i < 15; ++i) second.push_back(testing::synthetic_document(i));
  testing::write_journal(d.path(), 0, 1, first);
  testing::write_journal(d.path(), 1, 2, second, true);
  d.write("journal/notes.txt", "not a journal");
  const JournalTotals journals = read().journals;
  EXPECT_EQ(journals.n, 2u);
  EXPECT_GT(journals.n_bytes, 1000u);
  EXPECT_EQ(journals.n_documents, 15u) << "doubles count once";
  EXPECT_GT(journals.newest_unix_s, 1e9);
}

TEST_F(Directory, JsonIsTheStatusWithWhatWasFound) {
  d.write("status.json", running().dump());
  json all = report_json(read());
  EXPECT_EQ(all["state"], "running");
  EXPECT_EQ(all["live"], true);
  EXPECT_EQ(all["age_s"], 100.0);
  EXPECT_EQ(all["journals"]["n"], 0);
  EXPECT_FALSE(all.contains("trouble"));
  d.write("status.json", "nothing");
  all = report_json(read());
  EXPECT_EQ(all["live"], false);
  EXPECT_EQ(all["trouble"], "status.json is not valid JSON");
  EXPECT_TRUE(all["age_s"].is_null());
}

TEST(RunProbe, KnowsThisHostAndNoProcessOfAnotherName) {
  const RunProbe here = this_machine();
  EXPECT_GT(here.now_unix_s, 1e9);
  EXPECT_NE(here.host, "");
  EXPECT_EQ(here.boot_id.size(), 36u);
  EXPECT_FALSE(here.tovamill_started(1)) << "init";
  EXPECT_FALSE(here.tovamill_started(getpid()));
  EXPECT_FALSE(here.tovamill_started(std::int64_t{1} << 40));
}

}  // namespace
}  // namespace tovamill
