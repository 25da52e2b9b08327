// Limits of the system through the built program: a line and an exit code of jobs/README.md, never
// a signal and never a hang. Numbers name public reports of programs that died instead.
#include <gtest/gtest.h>
#include <unistd.h>

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <iterator>

#include "tests/support/error_of.h"
#include "tests/support/models/model_builder.h"
#include "tests/support/runs/score_runs.h"
#include "tests/support/runs/subprocess.h"
#include "tests/support/temporary_directory.h"

namespace tovamill {
namespace {

namespace fs = std::filesystem;
using testing::contains;
using testing::ProgramResult;
using Words = std::vector<std::string>;

class Limits : public ::testing::Test {
 protected:
  static void SetUpTestSuite() {
    made_ = new testing::TemporaryDirectory;
    write_hf_model(testing::TinyModel{}, made_->path() / "model");
    std::string lines;
    for (std::uint64_t i = 0; i < 40; ++i)
      lines += "{\"text\":\"" + testing::words(60, i) + "\"}\n";
    made_->write("corpus/a.jsonl", lines);
    made_->write("corpus/b.txt", testing::words(400, 7));
    made_->write("one/a.txt", "words");
    ASSERT_EQ(run("", "score", "done").exit_code, 0);
    fs::permissions(made_->path(), fs::perms(0755));
  }
  static void TearDownTestSuite() {
    delete made_;
    made_ = nullptr;
  }

  static std::string at(const std::string& name) { return made_->path() / name; }

  // The arguments of a command, as the shell reads them; `name` is that of a run or an output.
  static std::string arguments(const std::string& command, const std::string& name) {
    const std::string input = " --model " + at("model") + " --corpus " + at("corpus") + " ";
    if (command == "score") return "score" + input + "--threads 2 --out " + at(name);
    if (command == "summarize")
      return "summarize" + input + "--threads 2 --max-new-tokens 3 --out " + at(name) +
             " --stream-jsonl " + at(name + ".jsonl");
    if (command == "generate")
      return "generate" + input + "--threads 2 --max-new-tokens 3 --out " + at(name);
    if (command == "export") return "export " + at("done") + " --output " + at(name + ".csv");
    if (command == "merge") return "merge " + at("done");
    if (command == "tokenize") return "tokenize" + input + "--ids";
    if (command == "plan") return "plan --no-calibration" + input;
    if (command == "inspect") return "inspect " + at("done/results.h5");
    if (command == "status") return "status " + at("done");
    return command;  // doctor
  }

  // Runs a command after some words of bash, without descriptors that ctest left open; ended by a
  // signal, it has the code 128 and more.
  static ProgramResult run(const std::string& before, const std::string& command,
                           const std::string& name, const std::string& after = "") {
    return testing::run_subprocess({"bash", "-c",
                                    "exec 3>&- 4>&- 5>&- 6>&- 7>&- 8>&- 9>&-; " + before +
                                        " timeout 100 '" TOVAMILL_PROGRAM "' " +
                                        arguments(command, name) + after});
  }

  // Ended with one of `codes`: 0 without an error, else with one line.
  static void expect_end(const ProgramResult& result, const std::vector<int>& codes) {
    EXPECT_NE(std::find(codes.begin(), codes.end(), result.exit_code), codes.end())
        << "code " << result.exit_code << "\n"
        << result.err;
    std::size_t n_errors = 0;
    for (std::size_t i = 0; (i = result.err.find("tovamill: error: ", i)) != std::string::npos; ++i)
      ++n_errors;
    EXPECT_EQ(n_errors, result.exit_code == 0 ? 0u : 1u) << result.err;
    for (const char* bad : {"terminate", "what():", "Segmentation", "Aborted", "internal error"})
      EXPECT_FALSE(contains(result.err, bad)) << result.err;
  }

  static testing::TemporaryDirectory* made_;
};

testing::TemporaryDirectory* Limits::made_ = nullptr;

const Words kCommands{"score",    "summarize", "generate", "export", "merge",
                      "tokenize", "inspect",   "plan",     "status", "doctor"};

struct Limit {
  const char* report;  // who met it
  const char* shell;   // what comes before the command
  std::vector<int> codes;
};

// Every command under every limit.
TEST_F(Limits, EndCommandsWithALine) {
  const std::vector<Limit> limits{
      {"nodejs/node#27798, video2commons#380", "ulimit -f 1;", {0, 74}},
      {"ulimit -f 16", "ulimit -f 16;", {0, 74}},
      {"SLiM#54, themisto#9, mcmap#13: uncaught bad_alloc", "ulimit -v 90000;", {0, 1, 127}},
      {"gperftools#58: a crash instead", "ulimit -v 110000;", {0, 1, 75}},
      {"aleth#259", "ulimit -v 130000;", {0, 1, 75}},
      {"GOMC#169", "ulimit -v 160000;", {0, 1, 75}},
      {"bcc#2421", "ulimit -v 240000;", {0, 1, 75}},
      {"private memory alone: no thread", "ulimit -d 10000;", {0, 1, 75}},
      {"private memory alone", "ulimit -d 50000;", {0, 1, 75}},
      {"mantis#14, datasets#6877, freebayes#254", "ulimit -n 4;", {0, 74}},
      {"GloVe#138: which limit was not said", "ulimit -n 6;", {0, 74}},
      {"kvikio#409", "ulimit -n 10;", {0, 74}},
      {"libuv#1507, monero#5932: small stacks of threads", "ulimit -s 256;", {0}},
      {"sx#21", "ulimit -s 128;", {0}},
      {"a huge stack for each thread", "ulimit -s 1048576;", {0}},
      {"rocksdb#2389, rbw#37: no such folder", "export TMPDIR=/none;", {0}},
      {"plumbum#713", "unset HOME;", {0}},
      {"core files", "ulimit -c 0;", {0}}};
  for (const Limit& limit : limits) {
    for (const std::string& command : kCommands) {
      SCOPED_TRACE(std::string(limit.shell) + " " + command + " (" + limit.report + ")");
      const ProgramResult result = run(limit.shell, command, "limited");
      if (result.exit_code != 127) expect_end(result, limit.codes);
      fs::remove_all(at("limited"));
      fs::remove(at("limited.jsonl"));
      fs::remove(at("limited.csv"));
    }
  }
}

// Closed or full standard streams, and readers that go: rust#57728, libmdbx#144, rsyslog#1526 (what
// is printed goes into a file that got the number); dutree#26, fd#24, xh#14, xan#759 (head).
TEST_F(Limits, StandardOutputThatCannotBeWritten) {
  for (const char* after : {" >&-", " >/dev/full", " | :; exit ${PIPESTATUS[0]}"}) {
    for (const std::string& command : kCommands) {
      SCOPED_TRACE(command + after);
      const ProgramResult result = run("", command, "closed", after);
      expect_end(result, command == "export" ? std::vector{0} : std::vector{74});
      EXPECT_TRUE(command != "export" || fs::exists(at("closed.csv")));
      if (command != "score" && command != "summarize" && command != "generate") continue;
      EXPECT_EQ(run("", "score", "done").exit_code, 0);
      EXPECT_EQ(testing::run_tovamill({"export", at("closed")}).exit_code, 0) << "is complete";
      fs::remove_all(at("closed"));
      fs::remove(at("closed.jsonl"));
    }
  }
  for (const char* after : {" 2>&-", " 2>/dev/full"}) {
    for (const std::string& command : kCommands) {
      SCOPED_TRACE(command + after);
      EXPECT_EQ(run("", command, "closed-" + command, after).exit_code, 0);
    }
  }
  EXPECT_EQ(run("", "score", "closed", " <&- >&- 2>&-").exit_code, 74);
  EXPECT_EQ(testing::run_tovamill({"export", at("closed")}).exit_code, 0);
}

// wake#344, libreport#829, hermes-agent#39491, qutebrowser#370.
TEST_F(Limits, AVanishedWorkingDirectory) {
  const std::string gone =
      "mkdir -p " + at("gone") + "; cd " + at("gone") + "; rmdir " + at("gone") + ";";
  for (const std::string& command : kCommands) {
    SCOPED_TRACE(command);
    expect_end(run(gone, command, "far-" + command), {0});
  }
  struct Case {
    const char* arguments;
    int code;
  };
  for (const Case& c : {Case{"score --model m --corpus c --out r", 66}, Case{"status r", 66},
                        Case{"export r", 66}, Case{"inspect x", 66}, Case{"merge x", 66},
                        Case{"score --model random:tiny --corpus c.txt --out r", 66},
                        Case{"score --model random:tiny --corpus $CORPUS --out r", 73},
                        Case{"merge $RUN --out r", 73}, Case{"export $RUN --output x", 73}}) {
    SCOPED_TRACE(c.arguments);
    expect_end(testing::run_subprocess({"bash", "-c",
                                        "CORPUS=" + at("one") + " RUN=" + at("done") + ";" + gone +
                                            " '" TOVAMILL_PROGRAM "' " + c.arguments}),
               {c.code});
  }
}

// A run that met a limit goes on where it is gone: omarchy-text-transform#4.
TEST_F(Limits, ARunContinuesOnceTheLimitIsGone) {
  expect_end(run("ulimit -f 8;", "score", "continued"), {74});
  const ProgramResult again = run("", "score", "continued");
  EXPECT_EQ(again.exit_code, 0) << again.err;
  EXPECT_EQ(testing::Results(at("continued")).nll_sum, testing::Results(at("done")).nll_sum);
}

// z3#9697, simexpal#63: the limit of processor time. A long text, which one second cannot read.
TEST_F(Limits, ProcessorTimeStopsARunWithItsWorkSaved) {
  made_->write("long/a.txt", testing::words(400'000, 3));
  const std::string score = " '" TOVAMILL_PROGRAM "' score --model " + at("model") + " --corpus " +
                            at("long") + " --threads 1 --out " + at("timed");
  const ProgramResult stopped = testing::run_subprocess({"bash", "-c", "ulimit -t 3;" + score});
  expect_end(stopped, {75});
  EXPECT_TRUE(contains(stopped.err, "saved")) << stopped.err;
}

// rigtorp/hiccups#3, icinga2#6600, libvips#1911: threads. Root, who is free of this limit, tries it
// as a user without other processes; any other user has more than one already.
TEST_F(Limits, FewThreads) {
  const bool is_root = geteuid() == 0;
  const std::string as_user =
      is_root ? "setpriv --reuid 61234 --regid 61234 --clear-groups bash -c '" : "bash -c '";
  fs::copy_file(TOVAMILL_PROGRAM, at("tovamill"));  // the build folder may be closed to others
  for (const char* limit : {"1", "2", "3", "4"}) {
    if (!is_root && std::string(limit) != "1") break;
    fs::remove_all(at("threads"));
    fs::create_directory(at("threads"));
    fs::permissions(at("threads"), fs::perms::all);
    SCOPED_TRACE(limit);
    const ProgramResult result =
        testing::run_subprocess({"bash", "-c",
                                 as_user + "ulimit -u " + limit + "; exec \"" + at("tovamill") +
                                     "\" " + arguments("score", "threads/run") + " --threads 4'"});
    expect_end(result, {0, 1});
    EXPECT_TRUE(result.exit_code == 0 || contains(result.err, "ulimit -u")) << result.err;
  }
}

}  // namespace
}  // namespace tovamill
