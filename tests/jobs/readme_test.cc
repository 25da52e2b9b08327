// What io/README.md prints as Python runs as it stands there, on results of the program.
#include <gtest/gtest.h>

#include <cstdlib>
#include <string>
#include <vector>

#include "tests/support/error_of.h"
#include "tests/support/runs/score_runs.h"
#include "tests/support/runs/subprocess.h"
#include "tests/support/temporary_directory.h"

namespace tovamill {
namespace {

using testing::contains;
using testing::ProgramResult;
using testing::run_tovamill;

constexpr int kLacksAPackage = 77;  // exit code of run_snippets.py

// A Python with h5py; empty where there is none.
std::string python_with_h5py() {
  for (const std::string python : {"python3", "/usr/bin/python3"}) {
    if (std::system((python + " -c 'import h5py' 2>/dev/null").c_str()) == 0) return python;
  }
  return "";
}

void run(const testing::TemporaryDirectory& d, const std::string& command, const std::string& out,
         const std::vector<std::string>& more) {
  std::vector<std::string> all{
      command, "--model",      "random:tiny",  "--corpus", d.path() / "texts",
      "--out", d.path() / out, "--cache-size", "16",       "--threads",
      "1"};
  all.insert(all.end(), more.begin(), more.end());
  const ProgramResult result = run_tovamill(all);
  ASSERT_EQ(result.exit_code, 0) << result.err;
}

TEST(Readme, PythonRunsAsPrinted) {
  const std::string python = python_with_h5py();
  if (python.empty()) GTEST_SKIP() << "no python3 has h5py: install python3-h5py";
  const testing::TemporaryDirectory d;
  d.write("texts/a.txt", testing::words(80, 1));
  d.write("texts/b.txt", testing::words(60, 2));
  d.write("texts/c.jsonl", "{\"text\": \"a record\"}\n{\"no text\": 1}\n");
  run(d, "score", "run1", {});
  run(d, "summarize", "summaries", {"--max-new-tokens", "4"});
  const ProgramResult python_run = testing::run_subprocess(
      {"sh", "-c",
       "cd '" + d.path().string() + "' && " + python +
           " '" TOVAMILL_SOURCE_DIR "/tests/support/programs/run_snippets.py' '" TOVAMILL_SOURCE_DIR
           "/io/README.md'"});
  EXPECT_TRUE(contains(python_run.out, "a.txt")) << python_run.out << python_run.err;
  if (python_run.exit_code == kLacksAPackage)
    GTEST_SKIP() << python_run.out.substr(python_run.out.rfind('\n', python_run.out.size() - 2) +
                                          1);
  EXPECT_EQ(python_run.exit_code, 0) << python_run.err;
}

}  // namespace
}  // namespace tovamill
