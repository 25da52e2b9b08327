// --check: what all ranks of a run would find wrong, in the words of the run itself, without one.
#include <gtest/gtest.h>

#include <algorithm>
#include <filesystem>

#include "tests/support/error_of.h"
#include "tests/support/models/model_builder.h"
#include "tests/support/runs/subprocess.h"
#include "tests/support/temporary_directory.h"

namespace tovamill {
namespace {

namespace fs = std::filesystem;
using testing::contains;
using testing::ProgramResult;
using testing::run_tovamill;
using testing::TinyModel;

class Check : public ::testing::Test {
 protected:
  Check() {
    d.write("texts/below/a.txt", "some words");
    write_hf_model(TinyModel{}, d.path() / "model");
  }
  // `more` counts after these options, of which the last of each holds.
  std::vector<std::string> command(const std::string& job,
                                   const std::vector<std::string>& more = {}) const {
    std::vector<std::string> all{job,         "--model",      at("model"), "--corpus",
                                 at("texts"), "--out",        at("run"),   "--threads",
                                 "1",         "--cache-size", "32"};
    all.insert(all.end(), more.begin(), more.end());
    return all;
  }
  std::string at(const std::string& name) const { return d.path() / name; }
  static ProgramResult check(std::vector<std::string> command) {
    command.emplace_back("--check");
    return run_tovamill(command);
  }
  // The check ends with `code` and one line, the run's own.
  void expect_found(const std::vector<std::string>& command, int code) const {
    const ProgramResult checked = check(command);
    EXPECT_EQ(checked.exit_code, code) << checked.err;
    EXPECT_EQ(checked.out, "");
    EXPECT_EQ(std::count(checked.err.begin(), checked.err.end(), '\n'), 1) << checked.err;
    const ProgramResult run = run_tovamill(command);
    EXPECT_EQ(run.exit_code, code);
    EXPECT_EQ(run.err, checked.err);
  }
  void with_config(const char* key, const nlohmann::json& value) const {
    nlohmann::json config = testing::tiny_config(TinyModel{});
    config[key] = value;
    d.write("model/config.json", config.dump());
  }

  testing::TemporaryDirectory d;
};

TEST_F(Check, PassesWhatCanRunAndMakesNothing) {
  for (const char* job : {"score", "summarize", "generate"}) {
    const ProgramResult result = check(command(job));
    EXPECT_EQ(result.exit_code, 0) << result.err;
    EXPECT_EQ(result.out + result.err, "");
  }
  EXPECT_FALSE(fs::exists(at("run")));
}

TEST_F(Check, GoesBeforePrintConfig) {
  const ProgramResult good = check(command("score", {"--print-config"}));
  EXPECT_EQ(good.exit_code, 0) << good.err;
  EXPECT_TRUE(contains(good.out, "out = " + at("run"))) << good.out;
  const ProgramResult bad = check(command("score", {"--print-config", "--model", at("nothing")}));
  EXPECT_EQ(bad.exit_code, 66);
  EXPECT_EQ(bad.out, "");
}

TEST_F(Check, FindsWrongOptions) {
  expect_found(command("score", {"--frobnicate"}), 64);
  expect_found(command("score", {"--cache-size", "0"}), 78);
  expect_found(command("score", {"--threads", "many"}), 64);
  expect_found(command("score", {"--policy", "window", "--pin", "4"}), 78);
  expect_found(command("summarize", {"--prompt", at("nothing")}), 66);
  expect_found(command("generate", {"--samples", "3"}), 78);
  EXPECT_EQ(check({"score", "--corpus", at("texts"), "--out", at("run")}).exit_code, 64);
  EXPECT_EQ(check(command("score", {"--stages", "99"})).exit_code, 64);
}

TEST_F(Check, FindsModelsThatCannotBeUsed) {
  expect_found(command("score", {"--model", at("nothing")}), 66);
  expect_found(command("score", {"--model", "random:gpt-7"}), 64);
  with_config("architectures", {"GPT2LMHeadModel"});
  expect_found(command("score"), 65);
  with_config("num_hidden_layers", 3);
  expect_found(command("score"), 65);
}

TEST_F(Check, FindsCorporaThatAreNotThere) {
  fs::create_directories(at("empty/below"));
  d.write("empty/.hidden.txt", "words");
  d.write("picture.png", "pixels");
  expect_found(command("score", {"--corpus", at("nothing")}), 66);
  std::vector<std::string> of_nothing = command("score");
  std::replace(of_nothing.begin(), of_nothing.end(), at("texts"), at("empty"));
  expect_found(of_nothing, 66);
  expect_found(command("score", {"--corpus", at("texts"), at("nothing*")}), 66);
  expect_found(command("score", {"--corpus", at("picture.png")}), 64);
  expect_found(command("score", {"--glob", "b*"}), 66);
}

TEST_F(Check, FindsRunDirectoriesThatCannotBe) {
  d.write("file", "");
  d.write("diary/monday", "");
  expect_found(command("score", {"--out", at("file")}), 73);
  expect_found(command("score", {"--out", at("file/run")}), 73);
  expect_found(command("score", {"--out", at("diary")}), 78);
  expect_found(command("score", {"--out", "/proc/1/run"}), 73);
}

// The hosts of the ranks may get it from rank 0, wherever that is.
TEST_F(Check, PassesOverTheModelThatIsBroadcast) {
  const ProgramResult result =
      check(command("score", {"--broadcast-weights", "--model", at("nothing")}));
  EXPECT_EQ(result.exit_code, 0) << result.err;
}

}  // namespace
}  // namespace tovamill
