// The manuals: every link leads somewhere, README.md is short, and what io/README.md prints as
// Python runs as it stands there, on results of the program.
#include <gtest/gtest.h>

#include <algorithm>
#include <cstdlib>
#include <fstream>
#include <iterator>
#include <string>
#include <vector>

#include "tests/support/documents.h"
#include "tests/support/error_of.h"
#include "tests/support/runs/h5py.h"
#include "tests/support/runs/score_runs.h"
#include "tests/support/runs/subprocess.h"
#include "tests/support/temporary_directory.h"

namespace tovamill {
namespace {

using testing::contains;
using testing::ProgramResult;
using testing::run_tovamill;

constexpr int kLacksAPackage = 77;  // exit code of run_snippets.py

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

std::string one_a_line(const std::vector<std::string>& texts) {
  std::string all;
  for (const std::string& text : texts) all += text + "\n";
  return all;
}

TEST(Readme, HasAtMost200Lines) {
  std::ifstream in(TOVAMILL_SOURCE_DIR "/README.md");
  const auto n = std::count(std::istreambuf_iterator<char>(in), {}, '\n');
  EXPECT_GT(n, 0);
  EXPECT_LE(n, 200);
}

TEST(Manuals, EveryRelativeLinkLeadsSomewhere) {
  const testing::LinkReport report =
      testing::check_links(TOVAMILL_SOURCE_DIR, testing::files_of_tree(TOVAMILL_SOURCE_DIR));
  EXPECT_GT(report.n_checked, 20u);
  EXPECT_TRUE(report.broken.empty()) << one_a_line(report.broken);
}

TEST(Manuals, HaveTheSectionsThatCommentsCite) {
  const testing::LinkReport report =
      testing::check_citations(TOVAMILL_SOURCE_DIR, testing::files_of_tree(TOVAMILL_SOURCE_DIR));
  EXPECT_GT(report.n_checked, 20u);
  EXPECT_TRUE(report.broken.empty()) << one_a_line(report.broken);
}

TEST(Manuals, BrokenLinksAreFound) {
  const testing::TemporaryDirectory d;
  d.write("a.md",
          "# One `two`\n\n## Twice\n\n## Twice\n\n"
          "[file](b/c.md), [folder](b/), [own](#one-two), [second](#twice-1), [other](b/c.md#d-e)\n"
          "[web](https://example.org/x#y) `[code](none.md)` `wrapped\n[code](none.md)`\n\n"
          "```\n# Not a heading\n[code](none.md)\n```\n\n"
          "[no file](none.md), [no anchor](#not-a-heading), [a `name`](b/c.md#one),\n"
          "[not relative](/b/c.md), [outside](../a.md), [third](#twice-2), [x][named]\n\n"
          "[named]: gone.md\n");
  d.write("b/c.md", "## D: E\n\n[up](../a.md \"title\"), [wrong](a.md)\n");
  const testing::LinkReport report =
      testing::check_links(d.path(), testing::files_of_tree(d.path()));
  EXPECT_EQ(report.n_checked, 14u);
  EXPECT_EQ(report.broken,
            (std::vector<std::string>{"a.md: none.md: the repository has no none.md",
                                      "a.md: #not-a-heading: a.md has no such heading",
                                      "a.md: b/c.md#one: b/c.md has no such heading",
                                      "a.md: /b/c.md: it is not relative",
                                      "a.md: ../a.md: the repository has no ../a.md",
                                      "a.md: #twice-2: a.md has no such heading",
                                      "a.md: gone.md: the repository has no gone.md",
                                      "b/c.md: a.md: the repository has no b/a.md"}));
}

TEST(Manuals, BrokenCitationsAreFound) {
  const testing::TemporaryDirectory d;
  d.write("a/README.md", "# A\n\n## First\n\n## Then\n");
  d.write("x.h",
          "// Of a/README.md, \"First\" to \"Then\", and of (a/README.md,\n"
          "  // \"Last\").\n// b/README.md, \"First\"; {\"README.md\", \"x\"}\n");
  const testing::LinkReport report =
      testing::check_citations(d.path(), testing::files_of_tree(d.path()));
  EXPECT_EQ(report.n_checked, 4u);
  EXPECT_EQ(report.broken, (std::vector<std::string>{"x.h: a/README.md has no section \"Last\"",
                                                     "x.h: b/README.md has no section \"First\""}));
}

TEST(Manuals, PythonRunsAsPrinted) {
  const std::string python = testing::python_with_h5py();
  const testing::TemporaryDirectory d;
  d.write("texts/a.txt", testing::words(80, 1));
  d.write("texts/b.txt", testing::words(60, 2));
  d.write("texts/c.jsonl", "{\"text\": \"a record\"}\n{\"no text\": 1}\n");
  run(d, "score", "run1", {"--analyze", "--nll-by-position"});
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
