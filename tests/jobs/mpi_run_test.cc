// Whole runs under mpirun: the same results at any number of ranks, through deaths, stops, full
// disks and documents that kill.
#include <gtest/gtest.h>
#include <signal.h>
#include <sys/mount.h>
#include <unistd.h>

#include <algorithm>
#include <filesystem>
#include <nlohmann/json.hpp>

#include "tests/support/compress.h"
#include "tests/support/models/model_builder.h"
#include "tests/support/runs/mpi_runs.h"
#include "tests/support/runs/score_runs.h"
#include "tests/support/runs/subprocess.h"
#include "tests/support/temporary_directory.h"

namespace tovamill {
namespace {

namespace fs = std::filesystem;
using nlohmann::json;
using testing::RunningProgram;

class MpiRun : public testing::MpiRuns {
 protected:
  MpiRun() {
    write_hf_model(testing::TinyModel{}, d.path() / "model");
    std::string lines;
    for (int i = 0; i < 40; ++i) {
      const auto seed = static_cast<std::uint64_t>(i);
      lines += i % 7 == 3 ? "{broken\n\n" : "{\"text\":\"" + testing::digits(300, seed) + "\"}\n";
      if (i < 12) {
        d.write("corpus/" + std::to_string(100 + i) + ".txt",
                testing::words(20 + (i == 5 ? 6000 : 100) * seed / 2, seed));
      }
    }
    d.write("corpus/lines.jsonl", lines);
    d.write("corpus/packed.jsonl.gz", testing::gzip(lines.substr(0, lines.size() / 3)));
    d.write("corpus/broken.jsonl.gz", testing::gzip(lines).substr(0, 3000));
  }

  std::vector<std::string> command(const std::string& out,
                                   const std::vector<std::string>& more = {}) const {
    std::vector<std::string> all{"--trace-state", "--nll-by-position", "--analyze"};
    all.insert(all.end(), more.begin(), more.end());
    return command_of("score", out, all);
  }
  std::string run_alone(const std::string& out, const std::vector<std::string>& more = {}) {
    return MpiRuns::run_alone(out, command(out, more));
  }
};

TEST_F(MpiRun, AnyNumberOfRanksGivesTheSameResults) {
  const std::string expected = run_alone("one");
  for (const int n : {1, 2, 3, 4}) {
    const std::string out = "ranks" + std::to_string(n);
    RunningProgram many(n, command(out));
    ASSERT_EQ(many.wait(), 0) << many.err();
    EXPECT_TRUE(results(out) == expected) << n << " ranks";
    EXPECT_EQ(status(out)["state"], "done");
  }
  RunningProgram dedicated(3, command("dedicated", {"--dedicated-coordinator"}));
  ASSERT_EQ(dedicated.wait(), 0) << dedicated.err();
  EXPECT_TRUE(results("dedicated") == expected);
  EXPECT_EQ(journal_bytes("dedicated", 0), 0u);
}

// h5diff is HDF5's own judgement; /run and the attributes of / are not asked.
TEST_F(MpiRun, H5diffFindsNoDifference) {
  run_alone("one");
  RunningProgram three(3, command("three", {"--streams", "2"}));
  ASSERT_EQ(three.wait(), 0) << three.err();
  for (const char* group : {"/documents", "/summary", "/cache", "/tokens", "/trace", "/failures",
                            "/nll_by_position", "/analysis"}) {
    const auto diff = testing::run_subprocess(
        {"h5diff", d.path() / "one/results.h5", d.path() / "three/results.h5", group});
    EXPECT_EQ(diff.exit_code, 0) << group << diff.out << diff.err;
  }
}

TEST_F(MpiRun, PartsAndLimitsAreThoseOfOneProcess) {
  for (const auto& more :
       std::vector<std::vector<std::string>>{{"--limit", "20", "--skip", "9"},
                                             {"--part", "2/3"},
                                             {"--part", "3/3", "--limit", "4"}}) {
    const std::string alone = run_alone("alone" + more.back(), more);
    const std::string out = "ranks" + more.back();
    RunningProgram many(3, command(out, more));
    ASSERT_EQ(many.wait(), 0) << many.err();
    EXPECT_TRUE(results(out) == alone) << more.front() << " " << more[1];
    fs::remove_all(d.path() / ("alone" + more.back()));
    fs::remove_all(d.path() / out);
  }
}

TEST_F(MpiRun, TheDeathOfAWorkerCostsNothingButItsTime) {
  const std::string expected = run_alone("whole");
  RunningProgram run(3, command("run", {"--sync-seconds", "0.01"}));
  ASSERT_TRUE(run.wait_until([&] { return journal_bytes("run", 2) > 4000; })) << run.err();
  kill(run.find_rank(2), SIGKILL);
  ASSERT_TRUE(wait_for_end(run, "run")) << run.err();
  EXPECT_EQ(status("run")["exit_code"], 0);
  EXPECT_EQ(status("run")["launch"], 1);
  EXPECT_TRUE(results("run") == expected);
}

TEST_F(MpiRun, TheDeathOfTheCoordinatorCostsALaunch) {
  const std::string expected = run_alone("whole");
  {
    RunningProgram run(3, command("run"));
    ASSERT_TRUE(run.wait_until([&] { return journal_bytes("run", 1) > 4000; })) << run.err();
    kill(run.find_rank(0), SIGKILL);
    run.wait();  // the others notice and leave
  }
  RunningProgram again(2, command("run"));
  ASSERT_EQ(again.wait(), 0) << again.err();
  EXPECT_EQ(status("run")["launch"], 2);
  EXPECT_TRUE(results("run") == expected);
}

TEST_F(MpiRun, AStopSavesDocumentsInTheMiddleAndAnotherNumberOfRanksGoesOn) {
  d.write("corpus/long.txt", testing::words(30'000, 5));
  const std::string expected = run_alone("whole");
  {
    RunningProgram run(2, command("run"));
    ASSERT_TRUE(run.wait_until([&] { return journal_bytes("run", 0) > 5000; })) << run.err();
    run.send(SIGUSR1);
    ASSERT_TRUE(wait_for_end(run, "run")) << run.err();
    run.wait();
  }
  EXPECT_EQ(status("run")["state"], "stopped");
  EXPECT_EQ(status("run")["exit_code"], 75);
  ASSERT_TRUE(fs::exists(d.path() / "run/states"));
  EXPECT_FALSE(fs::is_empty(d.path() / "run/states"));
  RunningProgram again(3, command("run"));
  ASSERT_EQ(again.wait(), 0) << again.err();
  EXPECT_TRUE(results("run") == expected);
  EXPECT_FALSE(fs::exists(d.path() / "run/states"));
}

TEST_F(MpiRun, WhatIsWrongIsSaidOnce) {
  std::vector<std::string> wrong = command("run");
  wrong[2] = d.path() / "nothing";
  RunningProgram run(3, wrong);
  run.wait();
  const std::string err = run.err();
  EXPECT_NE(err.find("nothing"), std::string::npos) << err;
  EXPECT_EQ(err.find("tovamill: error:"), err.rfind("tovamill: error:")) << err;
}

// Out of memory on one document only: a state without bounds under a limit of the address space.
// malloc reserves 64 MiB of it for every thread that allocates, most of it never used, which
// left too little for a thread of the merge (its stack takes 8 MiB): so there is one such arena.
TEST_F(MpiRun, ADocumentThatKillsTwiceIsSetAside) {
  fs::remove_all(d.path() / "corpus");
  for (int i = 0; i < 9; ++i)
    d.write("corpus/" + std::to_string(i) + ".txt", testing::words(300, 3));
  d.write("corpus/killer.txt", testing::words(40'000, 3));
  std::vector<std::string> c = command("run", {"--policy", "full"});
  c.erase(std::find(c.begin(), c.end(), "--cache-size"),
          std::find(c.begin(), c.end(), "--cache-size") + 2);
  c.erase(std::find(c.begin(), c.end(), "--trace-state"));
  std::vector<std::string> limited{
      "mpirun", "--enable-recovery", "--allow-run-as-root", "--oversubscribe", "-n",
      "3",      "prlimit",           "--as=300000000",      TOVAMILL_PROGRAM};
  limited.insert(limited.end(), c.begin(), c.end());
  const auto result = testing::run_subprocess(limited, {"MALLOC_ARENA_MAX=1"});
  const json s = status("run");
  ASSERT_EQ(s["state"], "done") << result.err;
  EXPECT_EQ(s["set_aside"], 1);
  const testing::Results r(d.path() / "run");
  const auto at = std::find(r.failure_reason.begin(), r.failure_reason.end(), "kills-its-rank");
  ASSERT_NE(at, r.failure_reason.end());
  EXPECT_NE(r.failure_file[static_cast<std::size_t>(at - r.failure_reason.begin())].find("killer"),
            std::string::npos);
  EXPECT_EQ(std::count(r.failure_reason.begin(), r.failure_reason.end(), "kills-its-rank"), 1);
}

// Writes that are interrupted and cut short, and syncs that take longer than a rank may be silent.
TEST_F(MpiRun, ASlowDiskThatIsInterruptedLosesNothing) {
  const std::string expected = run_alone("whole");
  std::vector<std::string> c{
      "mpirun", "--enable-recovery", "--allow-run-as-root", "--oversubscribe", "-n",
      "2",      TOVAMILL_PROGRAM};
  for (const std::string& word :
       command("run", {"--silence-seconds", "3", "--sync-seconds", "0.2"}))
    c.push_back(word);
  const auto result = testing::run_subprocess(
      c, {std::string("LD_PRELOAD=") + TOVAMILL_SLOW_DISK, "SLOW_DISK_MS=3500"});
  EXPECT_EQ(result.exit_code, 0) << result.err;
  EXPECT_EQ(result.err.find("is lost"), std::string::npos) << result.err;
  EXPECT_TRUE(results("run") == expected);
}

// Ranks in process-id namespaces of their own count as other hosts; these do not see the model.
TEST_F(MpiRun, HostsWithoutTheModelGetItFromRankZero) {
  const std::string expected = run_alone("whole");
  const std::string model = d.path() / "model", nothing = d.path() / "nothing";
  const std::string script = d.write(
      "on_its_host", "#!/bin/sh\n[ $OMPI_COMM_WORLD_RANK -ge 2 ] || exec \"$@\" --model '" + model +
                         "'\nexec unshare --pid --fork \"$@\" --model '" + nothing + "'\n");
  fs::permissions(script, fs::perms::owner_all);
  std::vector<std::string> c{
      "mpirun", "--allow-run-as-root", "--oversubscribe", "--mca", "btl", "tcp,self", "-n", "4",
      script,   TOVAMILL_PROGRAM};
  for (const std::string& word : command("run", {"--broadcast-weights"})) c.push_back(word);
  c.erase(std::find(c.begin(), c.end(), "--model"), std::find(c.begin(), c.end(), "--model") + 2);
  if (geteuid() != 0) GTEST_SKIP() << "only root may make the namespaces that play other hosts";
  const auto result = testing::run_subprocess(c, {"OMPI_MCA_reachable=weighted"});
  EXPECT_EQ(result.exit_code, 0) << result.err;
  EXPECT_NE(result.err.find("4 on 3 hosts"), std::string::npos) << result.err;
  EXPECT_TRUE(results("run") == expected);
}

class FullDisk : public MpiRun {
 protected:
  FullDisk() {
    fs::create_directories(d.path() / "small");
    mounted = mount("tmpfs", (d.path() / "small").c_str(), "tmpfs", 0, "size=256k") == 0;
  }
  ~FullDisk() override {
    if (mounted) umount2((d.path() / "small").c_str(), MNT_DETACH);
  }
  bool mounted = false;
};

TEST_F(FullDisk, EndsWith74AndGoesOnWithRoom) {
  if (!mounted) GTEST_SKIP() << "only root may mount the small file system that this fills";
  const std::string expected = run_alone("whole");
  for (const int n : {1, 3}) {
    const std::string out = "small/run" + std::to_string(n);
    RunningProgram run(n, command(out, {"--sync-seconds", "0.01"}));
    run.wait();
    EXPECT_NE(run.err().find("No space left"), std::string::npos) << run.err();
    EXPECT_NE(run.err().find("free some space"), std::string::npos) << run.err();
    ASSERT_EQ(mount("tmpfs", (d.path() / "small").c_str(), "tmpfs", MS_REMOUNT, "size=64m"), 0);
    RunningProgram again(n, command(out));
    ASSERT_EQ(again.wait(), 0) << again.err();
    EXPECT_TRUE(results(out) == expected);
    fs::remove_all(d.path() / out);
    ASSERT_EQ(mount("tmpfs", (d.path() / "small").c_str(), "tmpfs", MS_REMOUNT, "size=256k"), 0);
  }
}

}  // namespace
}  // namespace tovamill
