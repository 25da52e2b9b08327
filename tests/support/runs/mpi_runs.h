// What tests of runs under mpirun look at while the ranks work.
#pragma once

#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "tests/support/runs/results_text.h"
#include "tests/support/runs/running_program.h"
#include "tests/support/temporary_directory.h"

namespace tovamill::testing {

// The model, the corpus and the run directories lie in `d`; runs are named by their names there.
class MpiRuns : public ::testing::Test {
 protected:
  // One that takes the model and the corpus of `d` to the run `out`, small states, one thread.
  std::vector<std::string> command_of(const std::string& job, const std::string& out,
                                      const std::vector<std::string>& more) const {
    const std::string model = d.path() / "model", corpus = d.path() / "corpus";
    std::vector<std::string> c{
        job,  "--model", model, "--corpus",  corpus, "--out", d.path() / out, "--cache-size",
        "32", "--dtype", "f32", "--threads", "1"};
    c.insert(c.end(), more.begin(), more.end());
    return c;
  }
  // The results of a command without mpirun.
  std::string run_alone(const std::string& out, const std::vector<std::string>& command) {
    RunningProgram alone(command);
    EXPECT_EQ(alone.wait(), 0) << alone.err();
    return results(out);
  }
  std::string results(const std::string& out) const {
    return results_text(d.path() / out / "results.h5");
  }
  nlohmann::json status(const std::string& out) const {
    std::ifstream file(d.path() / out / "status.json");
    return nlohmann::json::parse(file, nullptr, false);
  }
  std::uintmax_t journal_bytes(const std::string& out, int rank, int launch = 1) const {
    std::error_code none;
    const auto n = std::filesystem::file_size(
        d.path() / out / "journal" / (std::to_string(rank) + "-" + std::to_string(launch) + ".log"),
        none);
    return none ? 0 : n;
  }
  // mpirun may stay when ranks have died: the run has ended when its status says so.
  bool wait_for_end(RunningProgram& program, const std::string& out) {
    program.wait_until([&] {
      const nlohmann::json s = status(out);
      return s.is_object() && s.contains("exit_code");
    });
    return status(out).contains("exit_code");
  }

  TemporaryDirectory d;
};

}  // namespace tovamill::testing
