// Runs of a model whose layers are cut into stages on several ranks: the same results as of one
// rank, through the death of any of them.
#include <gtest/gtest.h>
#include <signal.h>

#include <algorithm>
#include <filesystem>

#include "tests/support/models/model_builder.h"
#include "tests/support/runs/mpi_runs.h"
#include "tests/support/runs/score_runs.h"
#include "tests/support/runs/subprocess.h"

namespace tovamill {
namespace {

namespace fs = std::filesystem;
using testing::RunningProgram;

class MpiStages : public testing::MpiRuns {
 protected:
  MpiStages() {
    testing::TinyModel tiny;
    tiny.n_layers = 3;
    write_hf_model(tiny, d.path() / "model");
    for (std::uint64_t i = 0; i < 24; ++i)
      d.write("corpus/" + std::to_string(100 + i) + ".txt",
              testing::words(30 + (i % 8 == 5 ? 1200 : 60) * i / 2, i));
  }

  std::vector<std::string> command(const std::string& out,
                                   const std::vector<std::string>& more = {},
                                   const std::string& job = "score") const {
    std::vector<std::string> all{"--sync-seconds", "0.01"};
    all.insert(all.end(), more.begin(), more.end());
    return command_of(job, out, all);
  }
  std::string run_alone(const std::string& out) { return MpiRuns::run_alone(out, command(out)); }
  // Two groups of two; one rank dies in the middle of its work.
  void expect_to_survive(int rank) {
    const std::string expected = run_alone("whole");
    RunningProgram run(4, command("run", {"--stages", "2"}));
    ASSERT_TRUE(run.wait_until([&] { return journal_bytes("run", 2) > 4000; })) << run.err();
    kill(run.find_rank(rank), SIGKILL);
    ASSERT_TRUE(wait_for_end(run, "run")) << run.err();
    EXPECT_EQ(status("run")["exit_code"], 0) << run.err();
    EXPECT_EQ(status("run")["launch"], 1);
    EXPECT_TRUE(results("run") == expected);
  }
  bool has_states(const std::string& out) const {
    const fs::path states = d.path() / out / "states";
    return fs::exists(states) && !fs::is_empty(states);
  }
};

TEST_F(MpiStages, GiveTheResultsOfOneRank) {
  const std::string expected = run_alone("one");
  RunningProgram groups(4, command("groups", {"--stages", "2"}));
  ASSERT_EQ(groups.wait(), 0) << groups.err();
  EXPECT_NE(groups.err().find("layers 0-1 | 2 + head"), std::string::npos) << groups.err();
  EXPECT_TRUE(results("groups") == expected);
  EXPECT_GT(journal_bytes("groups", 0) + journal_bytes("groups", 2), 0u);
  EXPECT_EQ(journal_bytes("groups", 1) + journal_bytes("groups", 3), 0u);
  RunningProgram dedicated(4, command("dedicated", {"--stages", "3", "--dedicated-coordinator"}));
  ASSERT_EQ(dedicated.wait(), 0) << dedicated.err();
  EXPECT_TRUE(results("dedicated") == expected);
  EXPECT_EQ(journal_bytes("dedicated", 0), 0u);
}

// Merged tokens and budgets of `tovamill tune` alone on several ranks; both on stages, with a stop.
TEST_F(MpiStages, AndRanksKeepMergedTokensAndBudgetsToTheBit) {
  d.write("corpus/long.txt", testing::words(4000, 5));
  const std::string budgets = d.path() / "b.json";
  const auto tuned = testing::run_tovamill(
      {"tune", "--model", d.path() / "model", "--corpus", d.path() / "corpus/long.txt", "--output",
       budgets, "--tokens", "768", "--sizes", "16,32,64,128", "--merge", "4", "--threads", "1"});
  ASSERT_EQ(tuned.exit_code, 0) << tuned.err;
  const auto command_with = [&](const std::string& out, const std::string& given,
                                const std::vector<std::string>& more) {
    std::vector<std::string> options{"--trace-state", "--policy", "tova-ema"};
    if (given != "budgets") options.insert(options.end(), {"--merge", "4"});
    if (given != "merge") options.insert(options.end(), {"--budgets", budgets});
    options.insert(options.end(), more.begin(), more.end());
    std::vector<std::string> c = command(out, options);
    *(std::find(c.begin(), c.end(), "--cache-size") + 1) = "80";
    return c;
  };
  for (const std::string given : {"merge", "budgets", "both"}) {
    SCOPED_TRACE(given);
    const std::string expected = MpiRuns::run_alone(given, command_with(given, given, {}));
    const std::string out = given + "-again";
    if (given != "both") {
      RunningProgram ranks(3, command_with(out, given, {}));
      ASSERT_EQ(ranks.wait(), 0) << ranks.err();
      EXPECT_TRUE(results(out) == expected);
      continue;
    }
    {
      RunningProgram run(2, command_with(out, given, {"--stages", "2", "--save-every", "0.05"}));
      ASSERT_TRUE(run.wait_until([&] { return has_states(out); })) << run.err();
      run.send(SIGUSR1);
      ASSERT_TRUE(wait_for_end(run, out)) << run.err();
      run.wait();
    }
    EXPECT_EQ(status(out)["state"], "stopped");
    RunningProgram stages(2, command_with(out, given, {"--stages", "2"}));
    ASSERT_EQ(stages.wait(), 0) << stages.err();
    EXPECT_TRUE(results(out) == expected);
  }
}

TEST_F(MpiStages, WriteTheSameTexts) {
  const std::vector<std::string> short_texts{"--max-new-tokens", "8", "--limit", "4"};
  RunningProgram alone(command("one", short_texts, "summarize"));
  ASSERT_EQ(alone.wait(), 0) << alone.err();
  std::vector<std::string> staged = short_texts;
  staged.insert(staged.end(), {"--stages", "2"});
  RunningProgram two(2, command("two", staged, "summarize"));
  ASSERT_EQ(two.wait(), 0) << two.err();
  EXPECT_TRUE(results("two") == results("one"));
}

TEST_F(MpiStages, AStopInTheMiddleOfWritingGoesOnWithAnyNumberOfStages) {
  const std::vector<std::string> texts{"--max-new-tokens", "300", "--streams", "4", "--limit", "9"};
  RunningProgram alone(command("whole", texts, "summarize"));
  ASSERT_EQ(alone.wait(), 0) << alone.err();
  const auto staged = [&](int n) {
    std::vector<std::string> more = texts;
    more.insert(more.end(), {"--stages", std::to_string(n)});
    return command("run", more, "summarize");
  };
  {
    RunningProgram run(2, staged(2));
    ASSERT_TRUE(run.wait_until([&] { return journal_bytes("run", 0) > 4000; })) << run.err();
    run.send(SIGUSR1);
    ASSERT_TRUE(wait_for_end(run, "run")) << run.err();
    run.wait();
  }
  EXPECT_EQ(status("run")["exit_code"], 75);
  EXPECT_TRUE(has_states("run"));
  RunningProgram again(3, staged(3));
  ASSERT_EQ(again.wait(), 0) << again.err();
  EXPECT_TRUE(results("run") == results("whole"));
}

TEST_F(MpiStages, TheDeathOfAFollowerCostsItsGroupOnly) { expect_to_survive(3); }
TEST_F(MpiStages, TheDeathOfAHeadCostsItsGroupOnly) { expect_to_survive(2); }
// Its follower goes; rank 0 has no documents any more, and coordinates.
TEST_F(MpiStages, TheDeathOfTheCoordinatorsFollowerCostsNoLaunch) { expect_to_survive(1); }

TEST_F(MpiStages, TheDeathOfTheOnlyGroupOrTheCoordinatorCostsALaunch) {
  const std::string expected = run_alone("whole");
  {
    RunningProgram run(2, command("run", {"--stages", "2"}));
    ASSERT_TRUE(run.wait_until([&] { return journal_bytes("run", 0) > 4000; })) << run.err();
    kill(run.find_rank(1), SIGKILL);
    ASSERT_TRUE(wait_for_end(run, "run")) << run.err();
    EXPECT_EQ(status("run")["state"], "lost");
    EXPECT_EQ(status("run")["exit_code"], 75);
  }
  {
    RunningProgram run(4, command("run", {"--stages", "2"}));
    run.wait_until([&] { return journal_bytes("run", 0, 2) + journal_bytes("run", 2, 2) > 4000; });
    kill(run.find_rank(0), SIGKILL);
    run.wait();  // the others notice and leave
  }
  RunningProgram again(3, command("run", {"--stages", "3"}));
  ASSERT_EQ(again.wait(), 0) << again.err();
  EXPECT_EQ(status("run")["launch"], 3);
  EXPECT_TRUE(results("run") == expected);
}

// Two groups write texts, and come to the end of none.
TEST_F(MpiStages, AGroupWithoutCoordinatorSavesWhatIsUnderWay) {
  std::vector<std::string> c = command("run",
                                       {"--stages", "2", "--streams", "2", "--min-new-tokens",
                                        "1000000", "--max-new-tokens", "1000000"},
                                       "summarize");
  for (std::string& word : c) {
    if (word == (d.path() / "corpus").string()) word = d.path() / "several";
  }
  for (std::uint64_t i = 0; i < 12; ++i)
    d.write("several/" + std::to_string(i) + ".txt", testing::words(50, i));
  RunningProgram run(4, c);
  const auto is_writing = [&](int rank) {
    const nlohmann::json s = status("run");  // not there at first
    if (!s.is_object() || !s.contains("ranks")) return false;
    return std::any_of(s["ranks"].begin(), s["ranks"].end(),
                       [&](const auto& r) { return r["rank"] == rank && r["tokens"] > 500; });
  };
  ASSERT_TRUE(run.wait_until([&] { return is_writing(0) && is_writing(2); })) << run.err();
  kill(run.find_rank(0), SIGKILL);
  run.wait();
  EXPECT_TRUE(has_states("run"));
}

TEST_F(MpiStages, AStopSavesStatesOfAllStagesAndAnyNumberOfThemGoesOn) {
  d.write("corpus/long.txt", testing::words(9000, 5));
  const std::string expected = run_alone("whole");
  for (const int n_stages : {1, 3}) {
    const std::string out = "run" + std::to_string(n_stages);
    {
      RunningProgram run(2, command(out, {"--stages", "2"}));
      ASSERT_TRUE(run.wait_until([&] { return journal_bytes(out, 0) > 4000; })) << run.err();
      run.send(SIGUSR1);
      ASSERT_TRUE(wait_for_end(run, out)) << run.err();
      run.wait();
    }
    EXPECT_EQ(status(out)["state"], "stopped");
    EXPECT_EQ(status(out)["exit_code"], 75);
    EXPECT_TRUE(has_states(out));
    RunningProgram again(n_stages, command(out, {"--stages", std::to_string(n_stages)}));
    ASSERT_EQ(again.wait(), 0) << again.err();
    EXPECT_TRUE(results(out) == expected);
  }
}

TEST_F(MpiStages, ImpossibleNumbersAreRefusedInOneLine) {
  RunningProgram alone(command("run", {"--stages", "2"}));
  EXPECT_EQ(alone.wait(), 64);
  EXPECT_NE(alone.err().find("mpirun -n 2"), std::string::npos) << alone.err();
  RunningProgram three(3, command("run", {"--stages", "2"}));
  three.wait();
  const std::string err = three.err();
  EXPECT_NE(err.find("3 ranks cannot form groups of 2"), std::string::npos) << err;
  EXPECT_EQ(err.find("tovamill: error:"), err.rfind("tovamill: error:")) << err;
  RunningProgram many(4, command("run", {"--stages", "4"}));
  many.wait();
  EXPECT_NE(many.err().find("the model has 3 layers"), std::string::npos) << many.err();
}

}  // namespace
}  // namespace tovamill
