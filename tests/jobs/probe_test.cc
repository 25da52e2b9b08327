// tovamill probe as a user has it: one and several ranks, what it prints, what it refuses.
#include <gtest/gtest.h>
#include <signal.h>

#include <filesystem>
#include <fstream>

#include "tests/support/models/model_builder.h"
#include "tests/support/runs/mpi_runs.h"
#include "tests/support/runs/subprocess.h"

namespace tovamill {
namespace {

namespace fs = std::filesystem;
using testing::RunningProgram;

class MpiProbe : public testing::MpiRuns {
 protected:
  MpiProbe() { write_hf_model(testing::TinyModel{}, d.path() / "model"); }
  std::vector<std::string> command(const std::vector<std::string>& more = {}) const {
    const std::string model = d.path() / "model", out = d.path() / "run";
    std::vector<std::string> c{"probe",     "--model",   model,
                               "--out",     out,         "--tasks",
                               "passkey",   "--lengths", "300,600",
                               "--depths",  "0,0.5,1",   "--n",
                               "4",         "--dtype",   "f32",
                               "--threads", "1",         "--chat-template",
                               "none",      "--sweep",   "policy=full,tova cache-size=64"};
    c.insert(c.end(), more.begin(), more.end());
    return c;
  }
  // The exit code; `printed` and `said` are what it printed.
  int tovamill(const std::vector<std::string>& arguments) {
    const auto run = testing::run_tovamill(arguments);
    printed = run.out;
    said = run.err;
    return run.exit_code;
  }
  std::string printed, said;
};

TEST_F(MpiProbe, AnyNumberOfRanksGivesTheSameResults) {
  const std::string expected = run_alone("run", command());
  fs::remove_all(d.path() / "run");
  RunningProgram three(3, command());
  ASSERT_EQ(three.wait(), 0) << three.err();
  EXPECT_TRUE(results("run") == expected);
}

TEST_F(MpiProbe, AStopAndADeathCostNothingButTime) {
  const std::vector<std::string> longer{"--max-new-tokens", "600", "--n", "8"};
  const std::string expected = run_alone("run", command(longer));
  fs::remove_all(d.path() / "run");
  {
    RunningProgram run(2, command(longer));
    ASSERT_TRUE(run.wait_until([&] { return journal_bytes("run", 1) > 600; })) << run.err();
    run.send(SIGUSR1);
    ASSERT_TRUE(wait_for_end(run, "run")) << run.err();
    run.wait();
  }
  EXPECT_EQ(status("run")["state"], "stopped");
  {
    RunningProgram again(3, command(longer));
    again.wait_until([&] { return journal_bytes("run", 1, 2) > 600; });
    if (const pid_t pid = again.find_rank(1); pid > 0) kill(pid, SIGKILL);
    ASSERT_TRUE(wait_for_end(again, "run")) << again.err();
  }
  EXPECT_EQ(status("run")["exit_code"], 0);
  EXPECT_TRUE(results("run") == expected);
}

TEST_F(MpiProbe, WhatRankZeroCannotMakeEndsAllRanks) {
  RunningProgram two(2, command({"--lengths", "20"}));
  two.wait();
  EXPECT_NE(two.err().find("--lengths 20: what the task passkey hides alone"), std::string::npos)
      << two.err();
  EXPECT_EQ(tovamill(command({"--lengths", "20"})), 78) << said;
}

TEST_F(MpiProbe, EndsWithATableAndExportsIt) {
  ASSERT_EQ(tovamill(command({"--tasks", "passkey,words"})), 0) << said;
  for (const char* part : {"\nright answers", "300 tokens", "600 tokens", "\npasskey ", "\nwords ",
                           "\nkeys found", " full ", " tova ", " [0.00, "})
    EXPECT_NE(printed.find(part), std::string::npos) << part << printed;
  ASSERT_EQ(tovamill({"export", d.path() / "run", "--probe"}), 0) << said;
  EXPECT_TRUE(printed.starts_with("setting,policy,cache_size,instruction,task,length,depth,n,"));
  EXPECT_NE(printed.find("\ntova,tova,64,after,passkey,300,0.5,4,"), std::string::npos) << printed;
  const std::string all = printed;
  ASSERT_EQ(tovamill({"export", d.path() / "run", "--probe", "--setting", "tova"}), 0) << said;
  EXPECT_EQ(printed.find("\nfull,"), std::string::npos);
  EXPECT_LT(printed.size(), all.size());
  const std::string table = d.path() / "probe.csv";
  EXPECT_EQ(tovamill({"export", d.path() / "run", "--probe", "--output", table}), 0) << said;
  EXPECT_EQ(tovamill({"export", d.path() / "run", "--probe", "--output", table}), 0) << said;
  EXPECT_EQ(tovamill({"export", d.path() / "run", "--probe", "--format", "jsonl"}), 78);
  ASSERT_EQ(tovamill({"export", d.path() / "run", "--format", "jsonl"}), 0) << said;
  EXPECT_NE(printed.find("\"setting\":\"tova\"}"), std::string::npos);
  ASSERT_EQ(tovamill({"report", d.path() / "run", "--output", d.path() / "r.html"}), 0) << said;
  std::ifstream file(d.path() / "r.html");
  const std::string page{std::istreambuf_iterator<char>(file), {}};
  for (const char* part : {"What was found", "Right answers by length: passkey",
                           "Right answers by depth and length: passkey, full", "id=\"probe\""})
    EXPECT_NE(page.find(part), std::string::npos) << part;
}

TEST_F(MpiProbe, RefusesByName) {
  struct Case {
    std::vector<std::string> more;
    int code;
    const char* said;
  };
  for (const Case& c :
       {Case{{"--tasks", "haystack"}, 64, "--tasks: 'haystack' is not known"},
        Case{{"--lengths", "4"}, 78, "--lengths 4"}, Case{{"--depths", "2"}, 78, "--depths 2"},
        Case{{"--n", "0"}, 78, "--n 0"}, Case{{"--needles", "0"}, 78, "--needles 0"},
        Case{{"--hops", "-1"}, 78, "--hops -1"},
        Case{{"--haystack", "/nonexistent"}, 66, "--haystack /nonexistent cannot be read"},
        Case{{"--prompt", d.write("mute.txt", "Say it.")}, 78, "say with {question} where"},
        Case{{"--config", d.write("task.ini", "task = summary\n")}, 78, "--task summary asks no"},
        Case{{"--config", d.write("cut.ini", "max-document-tokens = 9\n")}, 78, "would leave out"},
        Case{{"--task", "qa"}, 64, "--task is an option of other commands"},
        Case{{"--sweep", "lengths=1,2"}, 64, "'lengths' is no option that a sweep can vary"},
        Case{{"--corpus", "x"}, 64, "--corpus is an option of other commands"},
        Case{{"--model", "/nonexistent"}, 66, "/nonexistent"}}) {
    EXPECT_EQ(tovamill(command(c.more)), c.code) << said;
    EXPECT_NE(said.find(c.said), std::string::npos) << said;
  }
  EXPECT_FALSE(fs::exists(d.path() / "run/journal"));
  EXPECT_EQ(tovamill(command({"--check"})), 0) << said;
  EXPECT_FALSE(fs::exists(d.path() / "run"));
}

TEST_F(MpiProbe, WritesTheCorpusAndStops) {
  const std::string file = d.path() / "corpus.jsonl";
  ASSERT_EQ(tovamill({"probe", "--model", d.path() / "model", "--lengths", "300", "--tasks",
                      "passkey", "--n", "1", "--write-corpus", file}),
            0)
      << said;
  std::ifstream in(file);
  int n = 0;
  for (std::string line; std::getline(in, line); ++n)
    EXPECT_TRUE(line.starts_with("{\"id\":\"probe/"));
  EXPECT_EQ(n, 5);
  d.write("mine.jsonl", "{\"text\":\"mine\"}\n");
  EXPECT_EQ(tovamill({"probe", "--model", d.path() / "model", "--lengths", "300", "--write-corpus",
                      d.path() / "mine.jsonl"}),
            78);
}

}  // namespace
}  // namespace tovamill
