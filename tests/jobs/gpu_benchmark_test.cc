// The benchmark of a GPU, tried out on the CPU with a tiny model: every part of it prints its table
// and its numbers, whatever they are.
#include <gtest/gtest.h>

#include <map>
#include <nlohmann/json.hpp>
#include <sstream>

#include "tests/support/runs/score_runs.h"
#include "tests/support/runs/subprocess.h"
#include "tests/support/temporary_directory.h"

namespace tovamill {
namespace {

using nlohmann::json;
using testing::ProgramResult;

ProgramResult run_part(const std::string& part, const std::vector<std::string>& more = {}) {
  std::vector<std::string> c{TOVAMILL_GPU_BENCHMARK,
                             part,
                             "--device",
                             "cpu",
                             "--dtype",
                             "f32",
                             "--model",
                             "random:tiny",
                             "--threads",
                             "1",
                             "--streams",
                             "2",
                             "--cache-size",
                             "64",
                             "--document-tokens",
                             "5000",
                             "--chunk-tokens",
                             "512",
                             "--repeats",
                             "1",
                             "--seconds",
                             "0.1",
                             "--memory",
                             "4000000"};
  c.insert(c.end(), more.begin(), more.end());
  return testing::run_subprocess(c);
}

// Lines of JSON by the benchmark that they are of.
std::map<std::string, std::vector<json>> numbers(const ProgramResult& result) {
  EXPECT_EQ(result.exit_code, 0) << result.err;
  EXPECT_EQ(result.err, "");
  std::map<std::string, std::vector<json>> lines;
  std::istringstream out(result.out);
  for (std::string line; std::getline(out, line);) {
    if (!line.starts_with("{")) continue;
    const json parsed = json::parse(line);
    lines[parsed["benchmark"]].push_back(parsed);
  }
  return lines;
}

TEST(GpuBenchmark, ScoresWithEachPolicy) {
  const ProgramResult result = run_part("score");
  auto lines = numbers(result);
  ASSERT_EQ(lines["score"].size(), 2u) << result.out;
  EXPECT_EQ(lines["score"][0]["policy"], "tova 64");
  EXPECT_EQ(lines["score"][1]["policy"], "full, chunks of 512");
  for (const json& line : lines["score"]) {
    EXPECT_EQ(line["streams"], 2);
    EXPECT_GT(line["tokens_per_second"], 0.0);
  }
  EXPECT_EQ(lines["score_summary"].at(0)["tova_share"], lines["score"][0]["share"]);
  EXPECT_NE(result.out.find("\n| tova 64"), std::string::npos) << result.out;
}

// 2 layers of keys and values of 2 heads of 16 numbers take 512 bytes a token.
TEST(GpuBenchmark, DecodesWithAsManyStreamsAsFit) {
  auto lines = numbers(run_part("decode"));
  ASSERT_EQ(lines["decode"].size(), 3u);  // full, and the sizes up to the chunk's
  for (const json& line : lines["decode"]) {
    EXPECT_GT(line["tokens_per_second"], 0.0);
    EXPECT_GT(line["greedy_tokens_per_second"], 0.0);
    EXPECT_LE(line["state_gib"].get<double>() * (1 << 30), 4e6 * 1.001);
    EXPECT_GT(line["state_gib"].get<double>() * (1 << 30), 2e6);
    EXPECT_LE(line["streams"].get<double>() * 256 * 512, 4e6);
  }
  EXPECT_EQ(lines["decode"][1]["policy"], "tova 512");
  EXPECT_GT(lines["decode"][2]["streams"], lines["decode"][1]["streams"]);
  EXPECT_EQ(lines["decode_summary"].at(0)["tova_512_ratio"], lines["decode"][1]["ratio"]);
}

TEST(GpuBenchmark, ScoresTextsAndSaysWhatBoundsIt) {
  const testing::TemporaryDirectory d;
  d.write("corpus/a.txt", testing::words(300, 1));
  d.write("corpus/b.txt", testing::words(300, 2));
  auto lines = numbers(run_part("smollm", {"--corpus", d.path() / "corpus"}));
  EXPECT_EQ(lines["smollm"].size(), 4u);
  const json summary = lines["smollm_summary"].at(0);
  EXPECT_GT(summary["tokens_per_second"], 0.0);
  const std::string slower = summary["slower_part"];
  EXPECT_TRUE(slower == "steps" || slower == "tokenising") << slower;
}

#ifdef TOVAMILL_EMULATED_BENCHMARK
// Every part of it with a GPU, be it one that is emulated: of speed it says nothing then.
ProgramResult run_on_gpu(const std::string& part, const std::vector<std::string>& more) {
  std::vector<std::string> c{TOVAMILL_EMULATED_BENCHMARK,
                             part,
                             "--model",
                             "random:tiny",
                             "--threads",
                             "1",
                             "--block",
                             "8",
                             "--cache-size",
                             "16",
                             "--document-tokens",
                             "100",
                             "--repeats",
                             "1",
                             "--seconds",
                             "0.1",
                             "--memory",
                             "200000000"};
  c.insert(c.end(), more.begin(), more.end());
  return testing::run_subprocess(c);
}

TEST(GpuBenchmarkOnAGpu, NamesTheDevice) {
  const ProgramResult result = testing::run_subprocess({TOVAMILL_EMULATED_BENCHMARK, "device"});
  EXPECT_EQ(result.exit_code, 0) << result.err;
  EXPECT_NE(result.out.find("emulated device, 4 SMs, 1.0 GiB, CUDA 13.0"), std::string::npos)
      << result.out;
}

TEST(GpuBenchmarkOnAGpu, Scores) {
  const ProgramResult result =
      run_on_gpu("score", {"--streams", "1", "--lanes", "2", "--chunk-tokens", "32"});
  auto lines = numbers(result);
  ASSERT_EQ(lines["score"].size(), 2u) << result.out;
  EXPECT_EQ(lines["products"].size(), 5u);
  EXPECT_EQ(lines["gap"].size(), 1u);
  EXPECT_EQ(lines["parts"].size(), 18u);
  EXPECT_GT(lines["score_summary"].at(0)["tova_share"], 0.0);
}

TEST(GpuBenchmarkOnAGpu, Decodes) {
  const ProgramResult result =
      run_on_gpu("decode", {"--most-streams", "2", "--lanes", "1", "--chunk-tokens", "256"});
  auto lines = numbers(result);
  ASSERT_EQ(lines["decode"].size(), 2u) << result.out;  // full, and tova 256
  for (const json& line : lines["decode"]) {
    EXPECT_EQ(line["streams"], 2);
    EXPECT_GT(line["greedy_tokens_per_second"], 0.0);
  }
}

TEST(GpuBenchmarkOnAGpu, ScoresTexts) {
  const testing::TemporaryDirectory d;
  d.write("corpus/a.txt", testing::words(50, 1));
  const ProgramResult result =
      run_on_gpu("smollm", {"--streams", "1", "--lanes", "2", "--corpus", d.path() / "corpus"});
  EXPECT_EQ(numbers(result)["smollm"].size(), 4u) << result.out;
  EXPECT_NE(result.out.find("CUDA, emulated device"), std::string::npos) << result.out;
}
#endif

TEST(GpuBenchmark, RefusesWhatItCannotDo) {
  const auto expect = [](const ProgramResult& result, int code, const std::string& part) {
    EXPECT_EQ(result.exit_code, code) << result.err;
    EXPECT_NE(result.err.find(part), std::string::npos) << result.err;
  };
  expect(run_part("nothing"), 64, "usage: gpu_benchmark");
  expect(testing::run_subprocess({TOVAMILL_GPU_BENCHMARK, "score", "--model", "random:none"}), 64,
         "llama-7b");
  expect(run_part("score", {"--frobnicate", "1"}), 64, "frobnicate");
  expect(run_part("smollm"), 64, "--corpus");
  expect(testing::run_subprocess({TOVAMILL_GPU_BENCHMARK, "score", "--streams", "0"}), 64,
         "--streams");
}

}  // namespace
}  // namespace tovamill
