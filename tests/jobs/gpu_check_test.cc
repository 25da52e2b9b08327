// jobs/bench/gpu_check.sh with programs that stand for those of a build and a GPU: what it makes of
// what they say.
#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>
#include <iterator>
#include <string>

#include "tests/support/runs/subprocess.h"
#include "tests/support/temporary_directory.h"

namespace tovamill {
namespace {

using testing::ProgramResult;

class GpuCheck : public ::testing::Test {
 protected:
  GpuCheck() {
    d.write("build/CMakeCache.txt", "TOVAMILL_CUDA:BOOL=ON\n");
    program("build/gpu_benchmark", "case $1 in device) echo A GPU;; esac");
    for (const char* folder : {"kernels", "engine", "workers"})
      program(std::string("build/tests_") + folder, "echo '[  PASSED  ] 3 tests.'");
    program("bin/ctest", "echo fine");
  }
  void program(const std::string& name, const std::string& body) const {
    const std::filesystem::path path = d.write(name, "#!/bin/bash\n" + body + "\n");
    std::filesystem::permissions(path, std::filesystem::perms::owner_all);
  }
  ProgramResult check(const std::vector<std::string>& arguments) const {
    std::vector<std::string> command{TOVAMILL_SOURCE_DIR "/jobs/bench/gpu_check.sh", "--build",
                                     d.path() / "build"};
    command.insert(command.end(), arguments.begin(), arguments.end());
    return testing::run_subprocess(
        command, {"PATH=" + (d.path() / "bin").string() + ":/usr/local/bin:/usr/bin:/bin",
                  "CUDA_HOME=/nowhere"});
  }
  // The result in the table's row of that name; empty where there is none.
  static std::string row(const ProgramResult& result, const std::string& name) {
    const std::size_t at = result.out.find("\n| " + name + " ");
    if (at == std::string::npos) return "";
    const std::size_t bar = result.out.find('|', at + 2);
    return result.out.substr(bar + 2, result.out.find_first_of(" \n", bar + 2) - bar - 2);
  }

  static std::string text_of(const std::filesystem::path& file) {
    std::ifstream in(file);
    return {std::istreambuf_iterator<char>(in), {}};
  }

  testing::TemporaryDirectory d;
};

TEST_F(GpuCheck, SaysInOneLineThatThereIsNoGpu) {
  program("build/gpu_benchmark", "echo 'gpu_benchmark: error: no driver is loaded' >&2; exit 69");
  const ProgramResult result = check({"tests", "bench"});
  EXPECT_EQ(result.exit_code, 69) << result.err;
  EXPECT_NE(result.err.find("No GPU: no driver is loaded\n"), std::string::npos) << result.err;
  EXPECT_EQ(row(result, "tests"), "not");
  EXPECT_EQ(row(result, "bench"), "not");
}

TEST_F(GpuCheck, PassesWhereAllTestsDo) {
  const ProgramResult result = check({"tests"});
  EXPECT_EQ(result.exit_code, 0) << result.err;
  EXPECT_EQ(row(result, "tests of workers"), "PASS");
  EXPECT_EQ(row(result, "tests without a GPU"), "PASS");
}

TEST_F(GpuCheck, FailsForATestThatFailsAndForOneThatWasNotRun) {
  program("build/tests_engine", "exit 3");
  program("build/tests_workers", "echo Skipped: no GPU");
  const ProgramResult result = check({"tests"});
  EXPECT_EQ(result.exit_code, 1) << result.err;
  EXPECT_EQ(row(result, "tests of kernels"), "PASS");
  EXPECT_EQ(row(result, "tests of engine"), "FAIL");
  EXPECT_EQ(row(result, "tests of workers: all on the GPU"), "FAIL");
}

TEST_F(GpuCheck, BelievesTheSanitizersSummary) {
  const std::string summary = "echo '[  PASSED  ] 3 tests.'; echo '==== ";
  program("bin/compute-sanitizer", "case $2 in racecheck) " + summary +
                                       "RACECHECK SUMMARY: 2 hazards';; *) " + summary +
                                       "ERROR SUMMARY: 0 errors';; esac");
  const ProgramResult result = check({"sanitizer"});
  EXPECT_EQ(result.exit_code, 1) << result.err;
  EXPECT_EQ(row(result, "compute-sanitizer memcheck, tests of engine"), "PASS");
  EXPECT_EQ(row(result, "compute-sanitizer memcheck, engine: its summary"), "");
  EXPECT_EQ(row(result, "compute-sanitizer racecheck, kernels: its summary"), "FAIL");
}

TEST_F(GpuCheck, TellsTheSanitizerWhatToLookAt) {
  program("bin/compute-sanitizer",
          "case $1 in --help) echo '  --report-api-errors arg'; echo '  -k [ --kernel-name ] arg'; "
          "seq 100000;; *) echo \"$*\"; echo '[  PASSED  ] 3 tests.'; echo '==== ERROR SUMMARY: 0 "
          "errors';; esac");
  const ProgramResult result = check({"sanitizer"});
  EXPECT_EQ(result.exit_code, 0) << result.out;
  const auto log = [&](const char* name) { return text_of(d.path() / "build/gpu_check" / name); };
  EXPECT_NE(log("memcheck-kernels.log").find("--kernel-name kns=tovamill --report-api-errors no"),
            std::string::npos)
      << log("memcheck-kernels.log");
  EXPECT_EQ(log("racecheck-kernels.log").find("api-errors"), std::string::npos);
}

TEST_F(GpuCheck, CutsACorpusAndComparesDevices) {
  d.write("text.txt", std::string(30000, 'a') + "\xc3\xa4" + std::string(60000, 'b'));
  program("build/tovamill", "exit 0");
  program("build/compare_results", "[ $1 = --near ] && case $2 in *full*) exit 1;; esac; exit 0");
  program("build/compare_nll", "case $1 in *tova-cpu-f32*) exit 1;; esac; exit 0");
  const ProgramResult result = check({"--text", d.path() / "text.txt", "accuracy"});
  EXPECT_EQ(row(result, "NLL of each token as the CPU's, f32, tova"), "PASS") << result.err;
  EXPECT_EQ(row(result, "NLL of each token as the CPU's, f32, full"), "FAIL");
  EXPECT_EQ(row(result, "NLL near the CPU's f32, bf16, tova"), "FAIL");
  EXPECT_EQ(row(result, "NLL near the CPU's f32, bf16, full"), "PASS");
  std::string all;
  for (const auto& file : std::filesystem::directory_iterator(d.path() / "build/gpu_check/corpus"))
    all += text_of(file.path());
  EXPECT_GT(all.size(), 100000u);
  EXPECT_EQ(all.find('\xa4'),
            all.find('\xc3') == std::string::npos ? std::string::npos : all.find('\xc3') + 1);
}

TEST_F(GpuCheck, HoldsTheBenchmarksAgainstTheirBars) {
  const auto bench = [&](const char* share) {
    program("build/gpu_benchmark",
            std::string(R"(case $1 in
      score) echo '{"benchmark":"score_summary","tova_share":)") +
                share + R"(,"full_share":6e-1}';;
      decode) echo '{"benchmark":"decode_summary","tova_512_ratio":5.1,"tova_512_share":0.71,)" +
                R"("tova_512_greedy_ratio":4.79,"tova_512_greedy_share":0.70}';;
      smollm) echo '{"benchmark":"smollm_summary","slower_part":"steps"}';;
    esac)");
    return check({"--quick", "bench"});
  };
  const ProgramResult good = bench("0.7312");
  EXPECT_EQ(good.exit_code, 1) << good.err;  // one of the bars of decoding
  EXPECT_EQ(row(good, "scoring, share of the products alone"), "PASS") << good.out;
  EXPECT_EQ(row(good, "scoring, tova against full"), "PASS");
  EXPECT_EQ(row(good, "decoding, tova 512 / full 4096"), "PASS");
  EXPECT_EQ(row(good, "decoding, tova 512 / full 4096, tokens brought to the host"), "FAIL");
  EXPECT_EQ(row(good, "a small model is not bound by tokenising"), "PASS");
  const ProgramResult bad = bench("5.2e-01");
  EXPECT_EQ(row(bad, "scoring, share of the products alone"), "FAIL") << bad.out;
  EXPECT_EQ(row(bad, "scoring, tova against full"), "FAIL");
}

TEST_F(GpuCheck, CutsAModelWhereThereAreTwoGpus) {
  program("build/tovamill", "echo '1,234 tokens/s'");
  program("build/compare_results", "echo the same");
  program("bin/mpirun", "echo 'stages 2   layers 0-18 | 19-29 + head; rows by NCCL'");
  const ProgramResult one = check({"--model", "random:smollm2-135m", "stages"});
  EXPECT_EQ(one.exit_code, 0) << one.err;
  EXPECT_NE(one.err.find("stages: left out, they take two GPUs\n"), std::string::npos) << one.err;
  program("build/gpu_benchmark", "echo A GPU; echo A GPU");
  const ProgramResult two = check({"--model", "random:smollm2-135m", "stages"});
  EXPECT_EQ(two.exit_code, 0) << two.err;
  EXPECT_EQ(row(two, "2 stages give what a whole model gives"), "PASS");
  EXPECT_EQ(row(two, "rows between stages go by NCCL"), "PASS");
  program("bin/mpirun", "echo 'stages 2   layers 0-18 | 19-29 + head; rows in messages: why'");
  EXPECT_EQ(check({"--model", "random:smollm2-135m", "stages"}).exit_code, 1);
}

TEST_F(GpuCheck, RefusesAWrongCommandLine) {
  EXPECT_EQ(check({"nothing"}).exit_code, 64);
  EXPECT_EQ(check({"--nothing"}).exit_code, 64);
  EXPECT_EQ(check({"--model", d.path() / "none.gguf", "bench"}).exit_code, 66);
  d.write("build/CMakeCache.txt", "TOVAMILL_CUDA:BOOL=OFF\n");
  EXPECT_EQ(check({"build"}).exit_code, 64);
  EXPECT_EQ(check({"--help"}).exit_code, 0);
}

}  // namespace
}  // namespace tovamill
