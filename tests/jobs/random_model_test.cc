// Models of random weights, --model random:NAME, wherever a model can be given.
#include <gtest/gtest.h>

#include <cmath>
#include <nlohmann/json.hpp>

#include "tests/support/runs/mpi_runs.h"
#include "tests/support/runs/score_runs.h"
#include "tests/support/runs/subprocess.h"

namespace tovamill {
namespace {

using testing::ProgramResult;
using testing::run_tovamill;
using testing::RunningProgram;

class RandomModelRun : public testing::MpiRuns {
 protected:
  RandomModelRun() {
    for (int i = 0; i < 6; ++i)
      d.write("corpus/" + std::to_string(i) + ".txt",
              testing::words(40 + 90 * static_cast<std::size_t>(i), static_cast<std::uint64_t>(i)));
    d.write("tiny.ini", "model = random:tiny\ncache-size = 32\ndtype = f32\nthreads = 1\n");
  }
  std::vector<std::string> command(const std::string& name,
                                   const std::vector<std::string>& more = {}) const {
    std::vector<std::string> c{name, "--config", d.path() / "tiny.ini", "--corpus",
                               d.path() / "corpus"};
    c.insert(c.end(), more.begin(), more.end());
    return c;
  }
  static std::string out_of(const std::vector<std::string>& arguments) {
    const ProgramResult result = run_tovamill(arguments);
    EXPECT_EQ(result.exit_code, 0) << result.err;
    return result.out;
  }
};

TEST_F(RandomModelRun, RanksMakeTheModelThemselvesAndGetTheSameResults) {
  out_of(command("score", {"--out", d.path() / "one", "--token-nll"}));
  RunningProgram two(
      2, command("score", {"--out", d.path() / "two", "--token-nll", "--broadcast-weights"}));
  ASSERT_EQ(two.wait(), 0) << two.err();
  EXPECT_TRUE(results("two") == results("one"));
  const testing::Results r(d.path() / "one");
  EXPECT_EQ(r.status, std::vector<std::string>(6, "scored"));
  double sum = 0.0;
  for (const double nll : r.nll_sum) sum += nll;
  double n = 0.0;
  for (const std::uint64_t scored : r.n_scored) n += static_cast<double>(scored);
  // Nothing is learned: little better or worse than any of 320 tokens.
  EXPECT_NEAR(sum / n, std::log(320.0), 0.2);
}

TEST_F(RandomModelRun, AContinuedRunKnowsItsModelByName) {
  const std::vector<std::string> run = command("score", {"--out", d.path() / "run"});
  out_of(run);
  out_of(run);
  std::vector<std::string> other = run;
  other.insert(other.end(), {"--model", "random:smollm2-135m"});
  const ProgramResult refused = run_tovamill(other);
  EXPECT_EQ(refused.exit_code, 78) << refused.err;
  EXPECT_NE(refused.err.find("--model was"), std::string::npos) << refused.err;
}

TEST_F(RandomModelRun, WritesTexts) {
  for (const char* job : {"generate", "summarize"}) {
    const std::string out =
        out_of(command(job, {"--out", d.path() / job, "--max-new-tokens", "5", "--limit", "2"}));
    EXPECT_NE(out.find("(10 new)"), std::string::npos) << out;
  }
}

TEST_F(RandomModelRun, CanBePlannedTokenizedAndInspected) {
  const std::string plan = out_of(command("plan", {"--no-calibration"}));
  EXPECT_NE(plan.find("random:tiny"), std::string::npos) << plan;
  EXPECT_EQ(plan.find("page cache"), std::string::npos) << plan;
  const std::string tokens =
      out_of({"tokenize", "--model", "random:llama-7b", "--corpus", d.path() / "corpus/0.txt"});
  const auto line = nlohmann::json::parse(tokens);
  EXPECT_EQ(line["n_tokens"], line["n_bytes"].get<int>() + 1);  // a BOS before the bytes
  const auto model = nlohmann::json::parse(out_of({"inspect", "random:tiny", "--json"}));
  EXPECT_EQ(model["n_layers"], 2);
  EXPECT_EQ(model["tied_head"], false);
  EXPECT_EQ(model["tensors_by_dtype"]["BF16"], 2 * 9 + 3);
}

TEST_F(RandomModelRun, AWrongNameIs64AndHelpNamesTheRightOnes) {
  for (const std::vector<std::string>& arguments :
       {std::vector<std::string>{"inspect", "random:big"},
        command("score", {"--model", "random:big", "--out", d.path() / "no"}),
        command("plan", {"--model", "random:big"})}) {
    const ProgramResult result = run_tovamill(arguments);
    EXPECT_EQ(result.exit_code, 64) << result.err;
    EXPECT_NE(result.err.find("'random:big'"), std::string::npos) << result.err;
    EXPECT_NE(result.err.find("mistral-7b"), std::string::npos) << result.err;
  }
  EXPECT_NE(out_of({"score", "--help"}).find("random:NAME"), std::string::npos);
}

}  // namespace
}  // namespace tovamill
