#include "io/files/output_file.h"

#include <gtest/gtest.h>
#include <signal.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <iterator>

#include "io/files/durable.h"
#include "tests/support/error_of.h"
#include "tests/support/temporary_directory.h"

namespace tovamill {
namespace {

namespace fs = std::filesystem;
using testing::contains;
using testing::error_of;

std::string content_at(const fs::path& path) {
  std::ifstream in(path, std::ios::binary);
  return std::string(std::istreambuf_iterator<char>(in), {});
}

class OutputFileTest : public ::testing::Test {
 protected:
  std::string at(const char* name) const { return d.path() / name; }
  std::size_t n_entries() const {
    return static_cast<std::size_t>(
        std::distance(fs::directory_iterator(d.path()), fs::directory_iterator()));
  }
  OutputRules rules() const {
    return {.option = "--output", .kind = "a list", .is_ours = [](const std::string& path) {
              return content_at(path).starts_with("ours");
            }};
  }

  testing::TemporaryDirectory d;
};

TEST_F(OutputFileTest, AppearsWholeOrNotAtAll) {
  {
    OutputFile abandoned(at("x"), rules());
    abandoned.stream() << "text" << std::flush;
    EXPECT_FALSE(fs::exists(at("x")));
    EXPECT_EQ(n_entries(), 1u);
  }
  EXPECT_EQ(n_entries(), 0u);
  OutputFile output(at("x"), rules());
  output.stream() << "ours " << 1;
  output.commit();
  EXPECT_EQ(content_at(at("x")), "ours 1");
  EXPECT_EQ(n_entries(), 1u);
}

TEST_F(OutputFileTest, KeepsModesAndLinksOfWhatItReplaces) {
  d.write("target", "ours");
  fs::permissions(at("target"), fs::perms(0604));
  fs::create_symlink("target", at("link"));
  OutputFile output(at("link"), rules());
  output.stream() << "ours, too";
  output.commit();
  EXPECT_TRUE(fs::is_symlink(at("link")));
  EXPECT_EQ(content_at(at("target")), "ours, too");
  EXPECT_EQ(fs::status(at("target")).permissions(), fs::perms(0604));
  EXPECT_EQ(target_of(at("link")), at("target"));
}

TEST_F(OutputFileTest, ANewFileHasTheModeOfAnyNewFile) {
  write_file_durably(at("x"), "x");
  d.write("other", "x");
  EXPECT_EQ(fs::status(at("x")).permissions(), fs::status(at("other")).permissions());
}

TEST_F(OutputFileTest, RefusesWhatIsNotOurs) {
  d.write("foreign", "mine");
  EXPECT_TRUE(
      contains(error_of([&] { OutputFile(at("foreign"), rules()); }, ExitCode::configuration),
               "is not a list"));
  EXPECT_EQ(content_at(at("foreign")), "mine");
  error_of([&] { OutputFile(d.path(), rules()); }, ExitCode::cannot_create);
  error_of([&] { OutputFile(at("none/x"), rules()); }, ExitCode::cannot_create);
  OutputRules regular = rules();
  regular.must_be_regular = true;
  error_of([&] { OutputFile("/dev/null", regular); }, ExitCode::cannot_create);
  d.write("empty", "");
  OutputFile(at("empty"), rules()).commit();
}

TEST_F(OutputFileTest, KnowsInputsUnderEveryName) {
  d.write("a", "ours");
  fs::create_symlink("a", at("link"));
  fs::create_hard_link(at("a"), at("hard"));
  InputFiles inputs;
  inputs.add("the text", at("a"));
  inputs.add("nothing", at("none"));
  for (const char* name : {"a", "link", "hard"}) {
    EXPECT_TRUE(contains(inputs.name_of(at(name)), "the text '")) << name;
    OutputRules r = rules();
    r.inputs = &inputs;
    EXPECT_TRUE(contains(error_of([&] { OutputFile(at(name), r); }, ExitCode::configuration),
                         "the text '"));
  }
  EXPECT_EQ(inputs.name_of(at("none")), "");
  EXPECT_EQ(content_at(at("a")), "ours");
}

TEST_F(OutputFileTest, AWriteThatFailsSaysWhy) {
  OutputFile full("/dev/full", rules());
  full.stream() << std::string(1 << 17, 'x');
  EXPECT_TRUE(contains(error_of([&] { full.commit(); }, ExitCode::io), "No space left"));
}

TEST_F(OutputFileTest, TemporaryNamesAreUniqueAndKnown) {
  const TemporaryFile a(at("results.h5")), b(at("results.h5"));
  EXPECT_NE(a.path(), b.path());
  EXPECT_TRUE(is_temporary_name(fs::path(a.path()).filename(), "results.h5"));
  for (const char* name : {"results.h5.tmp", ".results.h5.0123.tmp", ".results.h5.tmp",
                           ".other.h5.0123456789abcdef.tmp", ".results.h5.0123456789abcdeF.tmp"})
    EXPECT_FALSE(is_temporary_name(name, "results.h5")) << name;
  const std::string longest(255, 'n');
  const TemporaryFile of_long(at(longest.c_str()));
  EXPECT_TRUE(fs::exists(of_long.path()));
}

TEST_F(OutputFileTest, ASignalRemovesTemporaryFiles) {
  const pid_t child = fork();
  if (child == 0) {
    remove_temporary_files_on_signals();
    const TemporaryFile file(at("x"));
    raise(SIGTERM);
    _exit(0);
  }
  int status = 0;
  waitpid(child, &status, 0);
  EXPECT_TRUE(WIFSIGNALED(status) && WTERMSIG(status) == SIGTERM);
  EXPECT_EQ(n_entries(), 0u);
}

}  // namespace
}  // namespace tovamill
