// Runs that are killed, stopped or started twice: the next start ends with the results of an
// undisturbed run.
#include <gtest/gtest.h>
#include <signal.h>

#include <algorithm>
#include <chrono>
#include <filesystem>
#include <fstream>
#include <random>
#include <thread>

#include "tests/support/models/model_builder.h"
#include "tests/support/runs/results_text.h"
#include "tests/support/runs/running_program.h"
#include "tests/support/runs/score_runs.h"
#include "tests/support/temporary_directory.h"

namespace tovamill {
namespace {

using testing::results_text;
using testing::RunningProgram;

class Kill : public ::testing::Test {
 protected:
  static constexpr int kDocuments = 60;

  Kill() {
    write_hf_model(testing::TinyModel{}, d.path() / "model");
    std::string lines;
    for (int i = 0; i < kDocuments / 2; ++i) {
      const auto seed = static_cast<std::uint64_t>(i);
      d.write("corpus/" + std::to_string(100 + i) + ".txt", testing::words(20 + 17 * seed, seed));
      lines += i % 7 == 3 ? "{broken\n" : "{\"text\":\"" + testing::digits(300, seed) + "\"}\n";
    }
    d.write("corpus/lines.jsonl", lines);
  }

  std::vector<std::string> command(const std::string& out) const {
    return {"score",   "--model",      d.path() / "model", "--corpus", d.path() / "corpus",
            "--out",   d.path() / out, "--cache-size",     "32",       "--trace-state",
            "--dtype", "f32",          "--streams",        "2",        "--threads",
            "1"};
  }
  std::string results(const std::string& out) const {
    return results_text(d.path() / out / "results.h5");
  }
  // Returns once the program is past its start and holds the run directory.
  static bool wait_for_start(RunningProgram& program) {
    return program.wait_until([&] { return program.err().find("\ncorpus ") != std::string::npos; });
  }

  testing::TemporaryDirectory d;
};

void expect_one_line(const std::string& err, const std::string& part) {
  const std::size_t at = err.find("tovamill: error: ");
  ASSERT_NE(at, std::string::npos) << err;
  const std::string line = err.substr(at);
  EXPECT_EQ(std::count(line.begin(), line.end(), '\n'), 1) << err;
  EXPECT_NE(line.find(part), std::string::npos) << err;
}

TEST_F(Kill, KilledAtAnyMomentItContinuesToTheSameResults) {
  using Clock = std::chrono::steady_clock;
  const auto start = Clock::now();
  RunningProgram undisturbed(command("whole"));
  ASSERT_EQ(undisturbed.wait(), 0) << undisturbed.err();
  const auto whole = std::chrono::duration<double>(Clock::now() - start);
  const std::string expected = results("whole");

  std::mt19937_64 random(7);
  std::uniform_real_distribution<double> share(0.05, 0.8);
  for (const char* out : {"killed1", "killed2"}) {
    int n_killed = 0;
    for (int round = 0; round < 8; ++round) {
      RunningProgram program(command(out));
      std::this_thread::sleep_for(share(random) * whole);
      program.send(SIGKILL);
      const int code = program.wait();
      ASSERT_TRUE(code == -SIGKILL || code == 0) << program.err();
      n_killed += code != 0;
    }
    RunningProgram last(command(out));
    ASSERT_EQ(last.wait(), 0) << last.err();
    EXPECT_TRUE(results(out) == expected) << out << ", killed " << n_killed << " times";
  }
}

// Around the end, where journals become results.h5.
TEST_F(Kill, KilledWhileMergingItContinuesToTheSameResults) {
  RunningProgram undisturbed(command("whole"));
  ASSERT_EQ(undisturbed.wait(), 0) << undisturbed.err();
  const std::string expected = results("whole");
  const auto is_merging = [&] {
    std::error_code none;
    for (const auto& entry : std::filesystem::directory_iterator(d.path() / "killed", none)) {
      if (entry.path().filename().string().starts_with(".results.h5.")) return true;
    }
    return false;
  };
  for (int round = 0; round < 4; ++round) {
    RunningProgram program(command("killed"));
    program.wait_until(is_merging);
    program.send(SIGKILL);
    const int code = program.wait();
    ASSERT_TRUE(code == -SIGKILL || code == 0) << program.err();
  }
  RunningProgram last(command("killed"));
  ASSERT_EQ(last.wait(), 0) << last.err();
  EXPECT_TRUE(results("killed") == expected);
  EXPECT_FALSE(is_merging());
}

TEST_F(Kill, AskedToStopItSavesItsWorkAndContinues) {
  RunningProgram undisturbed(command("whole"));
  ASSERT_EQ(undisturbed.wait(), 0) << undisturbed.err();
  for (const int signal : {SIGTERM, SIGINT, SIGUSR1}) {
    const std::string out = "stopped" + std::to_string(signal);
    RunningProgram first(command(out));
    ASSERT_TRUE(wait_for_start(first)) << first.err();
    first.send(signal);
    EXPECT_EQ(first.wait(), 75) << first.err();
    expect_one_line(first.err(), "run the same command again");
    EXPECT_EQ(first.out(), "");
    RunningProgram second(command(out));
    EXPECT_EQ(second.wait(), 0) << second.err();
    EXPECT_TRUE(results(out) == results("whole"));
  }
}

TEST_F(Kill, AskedToStopWhileTheModelLoadsItEndsTheSameWay) {
  RunningProgram first(command("run"));
  ASSERT_TRUE(first.wait_until([&] { return std::filesystem::exists(d.path() / "run/lock"); }));
  first.send(SIGUSR1);
  EXPECT_EQ(first.wait(), 75) << first.err();
  expect_one_line(first.err(), "run the same command again");
  RunningProgram second(command("run"));
  EXPECT_EQ(second.wait(), 0) << second.err();
}

// Whatever byte of a journal is damaged, what can no longer be trusted is done again.
TEST_F(Kill, DamagedJournalsCostTimeOnly) {
  RunningProgram undisturbed(command("whole"));
  ASSERT_EQ(undisturbed.wait(), 0) << undisturbed.err();
  const std::string expected = results("whole");
  const std::filesystem::path journal = d.path() / "whole/journal/0-1.log";
  const auto n_bytes = static_cast<std::uint64_t>(std::filesystem::file_size(journal));
  std::mt19937_64 random(3);
  for (int round = 0; round < 8; ++round) {
    const std::string out = "damaged" + std::to_string(round);
    std::filesystem::create_directories(d.path() / out / "journal");
    const std::filesystem::path copy = d.path() / out / "journal/0-1.log";
    std::filesystem::copy_file(journal, copy);
    std::filesystem::copy_file(journal.parent_path() / "inputs.log",
                               copy.parent_path() / "inputs.log");
    const std::uint64_t at = round < 4 ? static_cast<std::uint64_t>(round) * 7 : random() % n_bytes;
    if (round % 3 == 2) {
      std::filesystem::resize_file(copy, at);
    } else {
      std::fstream file(copy, std::ios::in | std::ios::out | std::ios::binary);
      file.seekp(static_cast<std::streamoff>(at));
      file.write("\xa5\x5a\xff\x00", 4);
    }
    RunningProgram program(command(out));
    ASSERT_EQ(program.wait(), 0) << "byte " << at << ": " << program.err();
    EXPECT_TRUE(results(out) == expected) << "byte " << at;
  }
}

TEST_F(Kill, OnlyOneProcessWorksOnARunDirectory) {
  RunningProgram undisturbed(command("whole"));
  ASSERT_EQ(undisturbed.wait(), 0) << undisturbed.err();
  RunningProgram first(command("run"));
  ASSERT_TRUE(wait_for_start(first)) << first.err();
  first.send(SIGSTOP);
  for (const char* extra : {"--strict", "--overwrite"}) {
    std::vector<std::string> again = command("run");
    again.push_back(extra);
    RunningProgram second(again);
    EXPECT_EQ(second.wait(), 78);
    expect_one_line(second.err(), "another process is at work");
  }
  RunningProgram merge({"merge", d.path() / "run"});
  EXPECT_EQ(merge.wait(), 78);
  expect_one_line(merge.err(), "another process is at work");
  first.send(SIGCONT);
  EXPECT_EQ(first.wait(), 0) << first.err();
  EXPECT_TRUE(results("run") == results("whole"));
}

std::string without_times(const std::string& table) {
  std::string kept;
  for (std::size_t at = 0; at < table.size();) {
    const std::size_t end = std::min(table.find('\n', at), table.size() - 1) + 1;
    const std::string line = table.substr(at, end - at);
    if (line.find("speed") != 0 && line.find("peak memory") != 0) kept += line;
    at = end;
  }
  return kept;
}

TEST_F(Kill, AStartWithNothingLeftToDoShowsTheSameTable) {
  RunningProgram first(command("run"));
  ASSERT_EQ(first.wait(), 0) << first.err();
  const std::string before = results("run");
  RunningProgram second(command("run"));
  EXPECT_EQ(second.wait(), 0) << second.err();
  EXPECT_EQ(without_times(second.out()), without_times(first.out()));
  EXPECT_NE(second.out().find("everything was done before"), std::string::npos) << second.out();
  EXPECT_TRUE(results("run") == before);
}

}  // namespace
}  // namespace tovamill
