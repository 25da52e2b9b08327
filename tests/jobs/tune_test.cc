// tovamill tune through the built program: what it writes, and what it refuses.
#include <gtest/gtest.h>

#include <filesystem>
#include <nlohmann/json.hpp>

#include "tests/support/error_of.h"
#include "tests/support/models/model_builder.h"
#include "tests/support/runs/score_runs.h"
#include "tests/support/runs/subprocess.h"
#include "tests/support/temporary_directory.h"

namespace tovamill {
namespace {

namespace fs = std::filesystem;
using nlohmann::json;
using testing::contains;
using testing::ProgramResult;
using testing::run_tovamill;
using Words = std::vector<std::string>;

class Tune : public ::testing::Test {
 protected:
  Tune() {
    write_hf_model(testing::TinyModel{}, d.path() / "model");
    d.write("corpus/a.txt", testing::digits(1000, 1));
    d.write("corpus/b.txt", testing::digits(300, 2));
    d.write("corpus/c.txt", testing::words(2000, 3));
  }
  std::string at(const std::string& name) const { return d.path() / name; }
  ProgramResult tune(const Words& more) const {
    Words all{"tune",     "--model", at("model"), "--corpus", at("corpus"),
              "--tokens", "768",     "--threads", "1"};
    const bool has_output = std::find(more.begin(), more.end(), "--output") != more.end();
    if (!has_output) all.insert(all.end(), {"--output", at("b.json")});
    if (std::find(more.begin(), more.end(), "--sizes") == more.end())
      all.insert(all.end(), {"--sizes", "16,64,256"});
    for (std::size_t i = 0; i < more.size(); ++i) {
      const auto given = std::find(all.begin(), all.end(), more[i]);
      if (more[i].starts_with("--") && given != all.end())
        *(given + 1) = more[++i];
      else
        all.push_back(more[i]);
    }
    return run_tovamill(all);
  }
  testing::TemporaryDirectory d;
};

TEST_F(Tune, WritesErrorsThatFallWithTheSizeAndScoreReadsThem) {
  const ProgramResult result = tune({});
  ASSERT_EQ(result.exit_code, 0) << result.err;
  EXPECT_TRUE(contains(result.out, "2 texts, 1,024 tokens counted\n")) << result.out;
  EXPECT_TRUE(contains(result.out, "places of the layers at --cache-size 256: ")) << result.out;
  EXPECT_TRUE(contains(result.out, "--budgets " + at("b.json") + " --policy tova-ema --merge 16"))
      << result.out;
  const std::string text = testing::content_of(at("b.json"));
  const json table = json::parse(text);
  EXPECT_EQ(table["sizes"], json({16, 64, 256}));
  EXPECT_EQ(table["merge"], 16);
  ASSERT_EQ(table["errors"].size(), 2u);
  for (const json& layer : table["errors"]) {
    EXPECT_GT(layer[0], layer[1]);
    EXPECT_GT(layer[1], layer[2]);
    EXPECT_GT(layer[2], 0.0);
  }
  ASSERT_EQ(tune({"--threads", "2"}).exit_code, 0);
  EXPECT_EQ(testing::content_of(at("b.json")), text) << "its own file is replaced by the same";
  const ProgramResult scored = run_tovamill(
      {"score", "--model", at("model"), "--corpus", at("corpus"), "--out", at("run"), "--policy",
       "tova-ema", "--cache-size", "100", "--budgets", at("b.json"), "--threads", "1"});
  EXPECT_EQ(scored.exit_code, 0) << scored.err;
  EXPECT_TRUE(contains(scored.err, "100 places per layer on average (")) << scored.err;
}

// A state that never fills loses nothing.
TEST_F(Tune, FindsNoErrorWhereNothingLeaves) {
  ASSERT_EQ(tune({"--sizes", "64,767", "--merge", "1"}).exit_code, 0);
  const json table = json::parse(testing::content_of(at("b.json")));
  for (const json& layer : table["errors"]) {
    EXPECT_GT(layer[0], 0.0);
    EXPECT_LT(layer[1], 1e-6);
  }
}

TEST_F(Tune, RefusesWhatItCannotMeasureByName) {
  d.write("other.json", "{\"mine\": 1}");
  struct Case {
    Words more;
    int code;
    Words said;
  };
  for (const Case& c : {
           Case{{"--sizes", "64"}, 78, {"--sizes: give 2 to 32 sizes"}},
           Case{{"--sizes", "64,32"}, 78, {"--sizes: 32 does not fit"}},
           Case{{"--sizes", "32,32"}, 78, {"--sizes: 32 does not fit"}},
           Case{{"--sizes", "32,768"}, 78, {"--sizes: 768 does not fit"}},
           Case{{"--sizes", "4,64", "--pin", "4"}, 78, {"--sizes: 4 does not fit"}},
           Case{{"--sizes", "32,many"}, 64, {"--sizes", "many"}},
           Case{{"--sizes", ""}, 64, {"--sizes"}},
           Case{{"--texts", "0"}, 78, {"--texts 0 is out of range"}},
           Case{{"--tokens", "767"}, 78, {"--tokens 767 is out of range"}},
           Case{{"--tokens", "few"}, 64, {"few"}},
           Case{{"--policy", "h2o", "--merge", "0"}, 78, {"h2o takes no budgets", "tova-ema"}},
           Case{{"--policy", "h2o"}, 78, {"--merge has no effect with --policy h2o"}},
           Case{{"--positions", "in-state"}, 78, {"--positions clipped or absolute"}},
           Case{{"--tokens", "80000", "--sizes", "32,64"}, 66, {"none of 3 documents has 40,000"}},
           Case{{"--model", at("nothing")}, 66, {"nothing"}},
           Case{{"--corpus", at("nothing")}, 66, {"nothing"}},
           Case{{"--output", at("model/config.json")}, 78, {"config.json"}},
           Case{{"--output", at("corpus/a.txt")}, 78, {"a.txt"}},
           Case{{"--output", at("other.json")}, 78, {"other.json"}},
           Case{{"--output", at("none/b.json")}, 73, {"none/b.json"}},
       }) {
    const ProgramResult result = tune(c.more);
    EXPECT_EQ(result.exit_code, c.code) << c.more[1] << "\n" << result.err;
    EXPECT_TRUE(result.err.starts_with("tovamill: error: ")) << result.err;
    for (const std::string& part : c.said) EXPECT_TRUE(contains(result.err, part)) << result.err;
    EXPECT_FALSE(fs::exists(at("b.json"))) << c.more[1];
  }
  EXPECT_EQ(testing::content_of(at("other.json")), "{\"mine\": 1}");
  EXPECT_EQ(testing::content_of(at("corpus/a.txt")), testing::digits(1000, 1));
}

TEST_F(Tune, BudgetsOfAModelOfOtherLayersAreRefused) {
  write_hf_model(testing::mixed_model(3), d.path() / "three");
  ASSERT_EQ(tune({}).exit_code, 0);
  for (const char* command : {"score", "plan"}) {
    Words all{command, "--model",   at("three"),  "--corpus",  at("corpus"), "--policy",
              "tova",  "--budgets", at("b.json"), "--threads", "1"};
    if (std::string(command) == "score") all.insert(all.end(), {"--out", at("run")});
    const ProgramResult result = run_tovamill(all);
    EXPECT_EQ(result.exit_code, 78) << command << result.err;
    EXPECT_TRUE(contains(result.err, "the file is of a model of 2 layers, this one has 3"))
        << result.err;
  }
}

}  // namespace
}  // namespace tovamill
