// Sweeps under mpirun, and what tovamill compare and export make of them.
#include <gtest/gtest.h>
#include <signal.h>

#include <algorithm>
#include <filesystem>
#include <sstream>

#include "tests/support/models/model_builder.h"
#include "tests/support/runs/mpi_runs.h"
#include "tests/support/runs/score_runs.h"
#include "tests/support/runs/subprocess.h"

namespace tovamill {
namespace {

namespace fs = std::filesystem;
using testing::RunningProgram;

constexpr const char* kSweep = "policy=full,tova,random cache-size=16,32";

class SweepProgram : public testing::MpiRuns {
 protected:
  SweepProgram() {
    write_hf_model(testing::TinyModel{}, d.path() / "model");
    std::string lines;
    for (int i = 0; i < 30; ++i) {
      lines += i % 7 == 3 ? "{broken\n"
                          : "{\"text\":\"" +
                                testing::digits(static_cast<std::size_t>(50 + 9 * i),
                                                static_cast<std::uint64_t>(i)) +
                                "\"}\n";
    }
    d.write("corpus/lines.jsonl", lines);
    d.write("corpus/long.txt", testing::words(4'000, 5));
  }
  std::vector<std::string> command(const std::string& out, const char* sweep = kSweep) const {
    return command_of("score", out,
                      {"--trace-state", "--nll-by-position", "--analyze", "--sweep", sweep});
  }
  // The exit code; `out` and `err` are what it printed.
  int tovamill(const std::vector<std::string>& arguments) {
    const auto run = testing::run_tovamill(arguments);
    printed = run.out;
    said = run.err;
    return run.exit_code;
  }
  std::string printed, said;
};

TEST_F(SweepProgram, AnyNumberOfRanksGivesTheSameResults) {
  const std::string expected = run_alone("one", command("one"));
  RunningProgram three(3, command("three"));
  ASSERT_EQ(three.wait(), 0) << three.err();
  EXPECT_TRUE(results("three") == expected);
}

TEST_F(SweepProgram, AStopAndADeathCostNothingButTime) {
  constexpr const char* kBounded = "policy=tova,random,window cache-size=16,32";
  d.write("corpus/long.txt", testing::words(30'000, 5));
  const std::string expected = run_alone("whole", command("whole", kBounded));
  {
    std::vector<std::string> saving = command("run", kBounded);
    saving.insert(saving.end(), {"--save-every", "0.05"});
    RunningProgram run(2, saving);
    const fs::path states = d.path() / "run/states";
    ASSERT_TRUE(run.wait_until([&] { return fs::exists(states) && !fs::is_empty(states); }))
        << run.err();
    run.send(SIGUSR1);
    ASSERT_TRUE(wait_for_end(run, "run")) << run.err();
    run.wait();
  }
  EXPECT_EQ(status("run")["state"], "stopped");
  ASSERT_TRUE(fs::exists(d.path() / "run/states"));
  EXPECT_FALSE(fs::is_empty(d.path() / "run/states"));
  {
    RunningProgram again(3, command("run", kBounded));
    again.wait_until([&] { return journal_bytes("run", 1, 2) > 1000; });
    if (const pid_t pid = again.find_rank(1); pid > 0) kill(pid, SIGKILL);
    ASSERT_TRUE(wait_for_end(again, "run")) << again.err();
  }
  EXPECT_EQ(status("run")["exit_code"], 0);
  EXPECT_TRUE(results("run") == expected);
}

TEST_F(SweepProgram, EndsWithALinePerSettingAndANotePerOptionOfNoUse) {
  ASSERT_EQ(tovamill(command("run")), 0) << said;
  for (const char* name : {"\nsetting ", "\nfull ", "\ntova-16 ", "\nrandom-32 ", " baseline "})
    EXPECT_NE(printed.find(name), std::string::npos) << name << printed;
  EXPECT_NE(said.find("--sweep: cache-size has no effect with policy=full"), std::string::npos);
}

TEST_F(SweepProgram, ExportsOneSettingAsARunOfItAlone) {
  run_alone("sweep", command("sweep"));
  run_alone("alone", command_of("score", "alone",
                                {"--trace-state", "--policy", "tova", "--cache-size", "16"}));
  for (const std::vector<std::string>& more :
       {std::vector<std::string>{}, {"--tokens"}, {"--format", "jsonl"}}) {
    std::vector<std::string> one{"export", d.path() / "sweep", "--setting", "tova-16"};
    std::vector<std::string> other{"export", d.path() / "alone"};
    std::vector<std::string> all{"export", d.path() / "sweep"};
    for (auto* c : {&one, &other, &all}) c->insert(c->end(), more.begin(), more.end());
    ASSERT_EQ(tovamill(other), 0) << said;
    const std::string expected = printed;
    ASSERT_EQ(tovamill(one), 0) << said;
    EXPECT_TRUE(printed == expected);
    ASSERT_EQ(tovamill(all), 0) << said;
    EXPECT_NE(printed.find("random-32"), std::string::npos);
    EXPECT_GT(printed.size(), 4 * expected.size());
  }
  EXPECT_EQ(tovamill({"export", d.path() / "sweep", "--setting", "tova-17"}), 64);
  EXPECT_NE(said.find("has the settings full, tova-16"), std::string::npos) << said;
  EXPECT_EQ(tovamill({"export", d.path() / "alone", "--setting", "full"}), 64);
  const std::string table = d.path() / "table.csv";
  EXPECT_EQ(tovamill({"export", d.path() / "sweep", "--output", table}), 0) << said;
  EXPECT_EQ(tovamill({"export", d.path() / "sweep", "--output", table}), 0) << said;
}

TEST_F(SweepProgram, ComparesRunsAndSettings) {
  run_alone("sweep", command("sweep"));
  run_alone("alone", command_of("score", "alone", {"--policy", "tova", "--cache-size", "16"}));
  run_alone("half", command_of("score", "half", {"--limit", "9"}));
  const std::string sweep = d.path() / "sweep", alone = d.path() / "alone",
                    half = d.path() / "half";
  ASSERT_EQ(tovamill({"compare", sweep + ":tova-16", alone, half, "--csv"}), 0) << said;
  std::istringstream lines(printed);
  std::string header, first, same, less;
  std::getline(lines, header);
  std::getline(lines, first);
  std::getline(lines, same);
  std::getline(lines, less);
  const auto cells = [](const std::string& line) {
    std::vector<std::string> out;
    std::istringstream in(line);
    for (std::string cell; std::getline(in, cell, ',');) out.push_back(cell);
    return out;
  };
  ASSERT_EQ(cells(header)[11], "difference");
  EXPECT_EQ(cells(same)[3], "27");  // 30 lines, 4 of them broken, and a text
  EXPECT_EQ(cells(same)[11], "0");
  EXPECT_EQ(cells(same)[12], "0");
  EXPECT_EQ(cells(same)[7], cells(first)[7]);
  EXPECT_EQ(cells(less)[4], std::to_string(27 - std::stoi(cells(less)[3])));
  EXPECT_NE(cells(less)[11], "0");
  ASSERT_EQ(tovamill({"compare", sweep}), 0) << said;
  EXPECT_EQ(std::count(printed.begin(), printed.end(), '\n'), 6);
  EXPECT_EQ(tovamill({"compare", alone}), 64);
  EXPECT_EQ(tovamill({"compare", sweep + ":tova-17", alone}), 64);
  EXPECT_NE(said.find("has the settings full, tova-16"), std::string::npos) << said;
  EXPECT_EQ(tovamill({"compare", alone + ":tova-16", alone}), 64);
  EXPECT_EQ(tovamill({"compare", alone, d.path() / "none"}), 66);
}

TEST_F(SweepProgram, RefusesToCompareWhatCannotBeCompared) {
  run_alone("one", command_of("score", "one", {}));
  // The same place and id, another text.
  d.write("corpus/long.txt", testing::words(100, 6));
  run_alone("changed", command_of("score", "changed", {}));
  EXPECT_EQ(tovamill({"compare", d.path() / "one", d.path() / "changed"}), 78);
  EXPECT_NE(said.find("the corpora differ"), std::string::npos) << said;
  fs::remove_all(d.path() / "corpus");
  d.write("corpus/other.txt", testing::words(100, 6));
  run_alone("other", command_of("score", "other", {}));
  EXPECT_EQ(tovamill({"compare", d.path() / "one", d.path() / "other"}), 78);
  EXPECT_NE(said.find("no document in common"), std::string::npos) << said;
  run_alone("texts",
            command_of("generate", "texts", {"--task", "continue", "--max-new-tokens", "4"}));
  EXPECT_EQ(tovamill({"compare", d.path() / "other", d.path() / "texts"}), 78);
  EXPECT_NE(said.find("of the job score, the other of generate"), std::string::npos) << said;
  EXPECT_EQ(tovamill({"compare", d.path() / "texts", d.path() / "texts"}), 78);
  EXPECT_NE(said.find("no scored text"), std::string::npos) << said;
  run_alone("no-bos", command_of("score", "no-bos", {"--bos", "always"}));
  EXPECT_EQ(tovamill({"compare", d.path() / "other", d.path() / "no-bos"}), 0) << said;
  EXPECT_NE(said.find("1 document of other counts of tokens"), std::string::npos) << said;
}

TEST_F(SweepProgram, ComparesTheScoresOfTexts) {
  fs::remove_all(d.path() / "corpus");
  d.write("corpus/asked.jsonl",
          "{\"text\":\"the cat on a mat\",\"answer\":\"the cat\"}\n"
          "{\"text\":\"rain in his town\",\"answer\":\"rain\"}\n{\"text\":\"of stone\"}\n");
  const std::vector<std::string> more{"--task", "continue",        "--max-new-tokens",
                                      "6",      "--reference-key", "answer"};
  run_alone("a", command_of("generate", "a", more));
  run_alone("b", command_of("generate", "b", more));
  ASSERT_EQ(tovamill({"compare", d.path() / "a", d.path() / "b"}), 0) << said;
  EXPECT_NE(printed.find("rouge1"), std::string::npos) << printed;
  ASSERT_EQ(tovamill({"compare", d.path() / "a", d.path() / "b", "--csv"}), 0) << said;
  EXPECT_NE(printed.find(",exact_match,2,0,0,0,"), std::string::npos) << printed;
}

}  // namespace
}  // namespace tovamill
