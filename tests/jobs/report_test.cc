// tovamill report as a user starts it, and its page in a browser.
#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>

#include "pipeline/results/merge.h"
#include "pipeline/run_directory/run_directory.h"
#include "tests/support/error_of.h"
#include "tests/support/runs/subprocess.h"
#include "tests/support/runs/synthetic_run.h"
#include "tests/support/temporary_directory.h"

namespace tovamill {
namespace {

namespace fs = std::filesystem;
using testing::contains;
using testing::ProgramResult;
using testing::run_tovamill;
using testing::synthetic_document;

class ReportCommand : public ::testing::Test {
 protected:
  std::string at(const std::string& name) const { return d.path() / name; }

  // A run over files that are there.
  std::string run(const std::string& name, const std::string& policy, std::int64_t cache_size,
                  bool generates = false) const {
    std::vector<DocumentRecord> records;
    for (int i = 0; i < 40; ++i) {
      records.push_back(
          synthetic_document(i, {.n_layers = 6, .tokens = !generates, .generations = generates}));
      records.back().file = corpus;
      records.back().offset = static_cast<std::uint64_t>(i);
    }
    testing::write_journal(at(name), 0, 1, records);
    ResultsHeader header;
    header.policy = policy;
    header.cache_size = cache_size;
    header.job = generates ? "generate" : "score";
    header.left_out = "8 files, neither .txt nor .jsonl nor .ndjson: 5 .md, 3 .parquet";
    merge_journals(at(name), scan_journals(at(name)), header);
    return at(name);
  }

  testing::TemporaryDirectory d;
  std::string corpus = d.write("corpus/a.txt", "A text.");
};

TEST_F(ReportCommand, WritesAPageAndPicturesAndReplacesItsOwn) {
  const std::string one = run("one", "tova", 128), two = run("two", "tova", 256);
  for (int i = 0; i < 2; ++i) {
    const ProgramResult result = run_tovamill(
        {"report", one, two + "/results.h5", "--output", at("page.html"), "--png", at("pictures")});
    ASSERT_EQ(result.exit_code, 0) << result.err;
    EXPECT_TRUE(contains(result.out, "2 settings")) << result.out;
    EXPECT_TRUE(contains(testing::content_of(at("page.html")), "tova, k = 256"));
    EXPECT_TRUE(testing::content_of(at("pictures/perplexity-by-size.png")).starts_with("\x89PNG"));
  }
  EXPECT_EQ(std::distance(fs::directory_iterator(d.path()), {}), 5);  // no temporary file is left
}

TEST_F(ReportCommand, RefusesWhatItHasNotWritten) {
  const std::string one = run("one", "tova", 128);
  d.write("mine.html", "<!DOCTYPE html>\n<html lang=\"en\">\n");
  const std::string picture = d.write("pictures/perplexity-by-size.png", "\x89PNG\r\n mine");
  for (const std::string& output : {at("mine.html"), one + "/results.h5", corpus}) {
    const std::string before = testing::content_of(output);
    const ProgramResult result = run_tovamill({"report", one, "--output", output});
    EXPECT_EQ(result.exit_code, 78) << output << result.err;
    EXPECT_EQ(testing::content_of(output), before);
  }
  const ProgramResult result =
      run_tovamill({"report", one, "--output", at("p.html"), "--png", at("pictures")});
  EXPECT_EQ(result.exit_code, 78) << result.err;
  EXPECT_TRUE(contains(result.err, "perplexity-by-size.png")) << result.err;
  EXPECT_FALSE(fs::exists(at("p.html")));
  EXPECT_TRUE(testing::content_of(picture).ends_with("mine"));
  EXPECT_EQ(std::distance(fs::directory_iterator(at("pictures")), {}), 1) << "others were written";
}

TEST_F(ReportCommand, EndsWithAReason) {
  const std::string one = run("one", "tova", 128);
  const std::string file = d.write("a-file", "x");
  const std::string hdf5 = d.write("no.h5", "\x89HDF\r\n\x1a\n and no more");
  struct Case {
    std::vector<std::string> arguments;
    int exit_code;
    std::string part;
  };
  for (const Case& c :
       {Case{{"report"}, 64, "DIR|FILE"}, Case{{"report", at("none")}, 66, "does not exist"},
        Case{{"report", hdf5}, 65, "no.h5"},
        Case{{"report", one, "--output", at("none/x")}, 73, "none/x"},
        Case{{"report", one, "--output", at("p"), "--png", file}, 73, "a-file"}}) {
    const ProgramResult result = run_tovamill(c.arguments);
    EXPECT_EQ(result.exit_code, c.exit_code) << result.err;
    EXPECT_TRUE(contains(result.err, c.part)) << result.err;
  }
}

TEST_F(ReportCommand, WithoutGnuplotNamesItsPackage) {
  const ProgramResult result = run_tovamill(
      {"report", run("one", "tova", 128), "--output", at("p.html")}, {"PATH=" + at("nowhere")});
  EXPECT_EQ(result.exit_code, 69);
  EXPECT_TRUE(contains(result.err, "gnuplot-nox")) << result.err;
  EXPECT_FALSE(fs::exists(at("p.html")));
}

TEST_F(ReportCommand, WritesToStandardOutputNothingElse) {
  const std::string one = run("one", "tova", 128);
  const ProgramResult result = run_tovamill({"report", one, "--output", "/dev/stdout"});
  EXPECT_EQ(result.exit_code, 0) << result.err;
  EXPECT_TRUE(result.out.starts_with("<!DOCTYPE html>"));
  EXPECT_TRUE(result.out.ends_with("</html>\n"));
}

#ifdef TOVAMILL_CHROMIUM
// No console message, no request, pictures with area, light and dark, a telephone's width, keys.
TEST_F(ReportCommand, PageIsLookedAtInABrowser) {
  const std::string one = run("one", "tova", 128), two = run("two", "window", 256),
                    full = run("full", "full", 512), texts = run("texts", "tova", 128, true);
  const ProgramResult made =
      run_tovamill({"report", one, two, full, texts, "--output", at("page.html")});
  ASSERT_EQ(made.exit_code, 0) << made.err;
  const ProgramResult looked = testing::run_subprocess(
      {"python3", TOVAMILL_SOURCE_DIR "/tests/support/programs/browse_report.py", TOVAMILL_CHROMIUM,
       at("page.html"), at("screenshots")});
  EXPECT_EQ(looked.exit_code, 0) << looked.out << looked.err;
  for (const char* name : {"light-1200", "dark-1200", "light-400", "dark-400"})
    EXPECT_GT(fs::file_size(at("screenshots/" + std::string(name) + ".png")), 10'000u) << name;
}
#endif

}  // namespace
}  // namespace tovamill
