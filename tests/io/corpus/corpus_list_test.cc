// Which files a corpus is.
#include <gtest/gtest.h>
#include <sys/stat.h>

#include <filesystem>

#include "io/corpus/corpus.h"
#include "kernels/types/error.h"
#include "tests/support/corpus_records.h"
#include "tests/support/temporary_directory.h"

namespace tovamill {
namespace {

using testing::read_all;
using testing::TemporaryDirectory;
namespace fs = std::filesystem;

CorpusOptions options_for(const std::string& path) {
  CorpusOptions o;
  o.paths = {path};
  return o;
}

std::string names(const std::vector<CorpusFile>& files) {
  std::string all;
  for (const CorpusFile& f : files) all += fs::path(f.path).filename().string() + " ";
  return all;
}

ExitCode code_of(const CorpusOptions& options) {
  try {
    list_corpus(options);
  } catch (const Error& e) {
    EXPECT_FALSE(std::string(e.what()).empty());
    return e.code();
  }
  return ExitCode::done;
}

TEST(CorpusList, SearchesDirectoriesInPathOrder) {
  TemporaryDirectory d;
  for (const char* name : {"b.txt", "a/z.jsonl", "a.txt", "a/x.txt.gz", "a/y.JSONL.ZST",
                           ".hidden.txt", ".git/c.txt", "README.md", "c.txt.lz4", "Z.txt"})
    d.write(name, "x");
  const auto files = list_corpus(options_for(d.path()));
  EXPECT_EQ(names(files), "Z.txt a.txt x.txt.gz y.JSONL.ZST z.jsonl b.txt ");
  EXPECT_EQ(files[2].format.compression, CorpusFormat::Compression::gzip);
  EXPECT_EQ(files[3].format.kind, CorpusFormat::Kind::jsonl);
  EXPECT_EQ(files[3].format.compression, CorpusFormat::Compression::zstd);
  EXPECT_EQ(files[0].n_bytes, 1u);
}

TEST(CorpusList, MakesPathsAbsoluteAndNormal) {
  TemporaryDirectory d;
  d.write("a/b.txt", "x");
  const auto files = list_corpus(options_for(d.path() / "a" / ".." / "." / "a" / "b.txt"));
  ASSERT_EQ(files.size(), 1u);
  EXPECT_EQ(files[0].path, (d.path() / "a" / "b.txt").string());
}

TEST(CorpusList, ListsAFileOnceHoweverItIsReached) {
  TemporaryDirectory d;
  const std::string file = d.write("a/b.txt", "x");
  fs::create_symlink(file, d.path() / "c.txt");
  fs::create_directory_symlink(d.path() / "a", d.path() / "z");
  CorpusOptions o;
  o.paths = {d.path(), file, file, (d.path() / "*.txt").string(), (d.path() / "z")};
  const auto files = list_corpus(o);
  EXPECT_EQ(names(files), "b.txt ");
  EXPECT_EQ(files[0].path, file);
}

TEST(CorpusList, DoesNotDependOnTheOrderOfThePaths) {
  TemporaryDirectory d;
  d.write("a/b.txt", "x");
  fs::create_directory_symlink(d.path() / "a", d.path() / "z");
  CorpusOptions one, two;
  one.paths = {d.path() / "a", d.path() / "z"};
  two.paths = {d.path() / "z", d.path() / "a"};
  EXPECT_EQ(list_corpus(one)[0].path, list_corpus(two)[0].path);
}

TEST(CorpusList, EndsOnLoopsOfLinks) {
  TemporaryDirectory d;
  d.write("a/b.txt", "x");
  fs::create_directory_symlink(d.path(), d.path() / "a" / "up");
  fs::create_symlink(d.path() / "self.txt", d.path() / "self.txt");
  const auto files = list_corpus(options_for(d.path()));
  EXPECT_EQ(names(files),
            "b.txt self.txt ");  // the loop is a file that cannot be read, not a silence
  const auto records = read_all(files[1], {});
  ASSERT_EQ(records.size(), 1u);
  EXPECT_EQ(records[0].failure_reason, "unreadable");
}

TEST(CorpusList, MatchesNamesAgainstTheGlobOption) {
  TemporaryDirectory d;
  for (const char* name : {"train-1.txt", "train-2.txt", "test-1.txt", "sub/train-3.txt"})
    d.write(name, "x");
  CorpusOptions o = options_for(d.path());
  o.glob = "train-[13].txt";
  EXPECT_EQ(names(list_corpus(o)), "train-3.txt train-1.txt ");
  o.glob = "*.nothing";
  EXPECT_EQ(code_of(o), ExitCode::no_input);
}

TEST(CorpusList, ExpandsGlobsAndPassesOverOtherEndings) {
  TemporaryDirectory d;
  for (const char* name : {"a.txt", "b.txt", "c.md"}) d.write(name, "x");
  EXPECT_EQ(names(list_corpus(options_for(d.path() / "*"))), "a.txt b.txt ");
}

TEST(CorpusList, SaysWhatIsWrongWithAPath) {
  TemporaryDirectory d;
  EXPECT_EQ(code_of(options_for(d.path() / "missing.txt")), ExitCode::no_input);
  EXPECT_EQ(code_of(options_for(d.path() / "*.txt")), ExitCode::no_input);
  EXPECT_EQ(code_of(options_for(d.path())), ExitCode::no_input);
  EXPECT_EQ(code_of({}), ExitCode::no_input);
  EXPECT_EQ(code_of(options_for(d.write("notes.md", "x"))), ExitCode::usage);
  mkfifo((d.path() / "pipe.txt").c_str(), 0600);
  EXPECT_EQ(code_of(options_for(d.path() / "pipe.txt")), ExitCode::no_input);
}

}  // namespace
}  // namespace tovamill
