// Folders of which, by public reports, other programs read a part only and did not say so.
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <filesystem>
#include <functional>

#include "io/corpus/corpus.h"
#include "io/corpus/left_out.h"
#include "io/corpus/record_reader.h"
#include "tests/support/error_of.h"
#include "tests/support/temporary_directory.h"

namespace tovamill {
namespace {

namespace fs = std::filesystem;
using testing::contains;
using testing::TemporaryDirectory;

// What root may do nobody else may: such a test takes the rights of another user for a while.
class AsAnotherUser {
 public:
  AsAnotherUser() : was_(geteuid()) {
    if (was_ == 0) {
      EXPECT_EQ(seteuid(kNobody), 0);
    }
  }
  ~AsAnotherUser() { EXPECT_EQ(seteuid(was_), 0); }
  AsAnotherUser(const AsAnotherUser&) = delete;
  AsAnotherUser& operator=(const AsAnotherUser&) = delete;

 private:
  static constexpr uid_t kNobody = 65534;
  uid_t was_;
};

struct ReportedFolder {
  const char* report;
  std::function<void(const TemporaryDirectory&)> make;
  const char* path;      // below the folder; empty: the folder
  const char* files;     // that are read
  const char* left_out;  // what is said of the rest
};

void make_files(const TemporaryDirectory& d, const std::vector<const char*>& names) {
  for (const char* name : names) d.write(name, "{\"text\":\"a\"}\n");
}
std::function<void(const TemporaryDirectory&)> with(std::vector<const char*> names) {
  return [names](const TemporaryDirectory& d) { make_files(d, names); };
}

const std::vector<ReportedFolder>& reported_folders() {
  static const std::vector<ReportedFolder> all{
      {"huggingface/datasets#4115: copies of Jupyter",
       with({"a.jsonl", ".ipynb_checkpoints/a-checkpoint.jsonl", ".ipynb_checkpoints/b.md"}), "",
       "a.jsonl ", "1 hidden file"},
      {"awslabs/gluonts#2263: forks of macOS", with({"a.jsonl", "._a.jsonl", ".DS_Store"}), "",
       "a.jsonl ", "1 hidden file"},
      {"huggingface/datasets#4115: what Git and others keep is not of the corpus",
       with({"a.jsonl", ".git/config", ".gitattributes", ".cache/deep/.x/b.jsonl"}), "", "a.jsonl ",
       "1 hidden file"},
      {"huggingface/datasets#5872, OpenRLHF/OpenRLHF#1283: endings in capitals",
       with({"a.TXT", "b.JSONL", "c.Jsonl.GZ"}), "", "a.TXT b.JSONL c.Jsonl.GZ! ", ""},
      {"huggingface/huggingface_hub#4498: equal files that are links to one blob",
       [](const TemporaryDirectory& d) {
         make_files(d, {"blobs/0123"});
         fs::create_directory(d.path() / "snapshot");
         for (const char* name : {"a.jsonl", "b.jsonl", "c.jsonl"})
           fs::create_symlink("../blobs/0123", d.path() / "snapshot" / name);
       },
       "snapshot", "a.jsonl ", "2 links to what is read anyway"},
      {"a folder under two names",
       [](const TemporaryDirectory& d) {
         make_files(d, {"data/a.jsonl", "data/b.jsonl"});
         fs::create_directory_symlink("data", d.path() / "latest");
       },
       "", "a.jsonl b.jsonl ", "1 link to what is read anyway"},
      {"hard links are files of their own",
       [](const TemporaryDirectory& d) {
         make_files(d, {"a.jsonl"});
         fs::create_hard_link(d.path() / "a.jsonl", d.path() / "b.jsonl");
       },
       "", "a.jsonl b.jsonl ", ""},
      {"a FIFO would be waited for without end",
       [](const TemporaryDirectory& d) {
         make_files(d, {"a.jsonl"});
         mkfifo((d.path() / "b.jsonl").c_str(), 0600);
       },
       "", "a.jsonl ", "1 special file (FIFO, socket, device)"},
      {"build2/build2#232: a dangling link in a wildcard",
       [](const TemporaryDirectory& d) {
         make_files(d, {"a.jsonl"});
         fs::create_symlink("gone", d.path() / "b.jsonl");
         fs::create_symlink("gone", d.path() / "c.md");
       },
       "*", "a.jsonl b.jsonl! ", "1 file, neither .txt nor .jsonl nor .ndjson: 1 .md"},
      {"simonw/files-to-prompt#79: and in a folder",
       [](const TemporaryDirectory& d) {
         make_files(d, {"a.jsonl"});
         fs::create_symlink("gone", d.path() / "b.jsonl");
       },
       "", "a.jsonl b.jsonl! ", ""},
      {"a link to itself",
       [](const TemporaryDirectory& d) {
         make_files(d, {"a.jsonl"});
         fs::create_symlink("b.jsonl", d.path() / "b.jsonl");
       },
       "*.jsonl", "a.jsonl b.jsonl! ", ""},
      {"alexfertel/bulloak#33: '**' at the end is all depths",
       with({"a.jsonl", "x/b.jsonl", "x/y/z/c.jsonl"}), "**", "a.jsonl b.jsonl c.jsonl ", ""},
      {"files of other kinds",
       with({"a.jsonl", "b.json", "c.parquet", "d.csv", "e.jsonl.lz4", "f.tar.gz", "g.arrow"}), "",
       "a.jsonl ",
       "6 files, neither .txt nor .jsonl nor .ndjson: 1 .arrow, 1 .csv, 1 .json, 1 .lz4, 1 "
       ".parquet, 1 .tar.gz"},
  };
  return all;
}

TEST(ReportedFolders, AreReadOrTheRestIsNamed) {
  for (const ReportedFolder& folder : reported_folders()) {
    SCOPED_TRACE(folder.report);
    TemporaryDirectory d;
    folder.make(d);
    CorpusOptions options;
    options.paths = {d.path() / folder.path};
    LeftOut left;
    std::string files;
    for (const CorpusFile& file : list_corpus(options, &left)) {
      CorpusRecord record;
      EXPECT_TRUE(open_records(file, options)->next(record));
      files += fs::path(file.path).filename().string() + (record.ok() ? " " : "! ");
    }
    EXPECT_EQ(files, folder.files);
    EXPECT_EQ(left.text(), folder.left_out);
  }
}

TEST(ReportedFolders, WildcardsOverManyLevelsAreRefused) {
  TemporaryDirectory d;
  make_files(d, {"a.jsonl", "x/b.jsonl", "x/y/c.jsonl"});
  // bos/filemanip#5, rust-lang/glob#21, coderamp-labs/gitingest#279
  for (const char* pattern : {"**/*.jsonl", "x/**/*.jsonl", "**/y/*", "*/**/c.jsonl"}) {
    CorpusOptions options;
    options.paths = {d.path() / pattern};
    const std::string why = testing::error_of([&] { list_corpus(options); }, ExitCode::usage);
    EXPECT_TRUE(contains(why, "'**' before other names is not known")) << why;
  }
}

// leahneukirchen/lr#27, isaacs/node-glob#452
TEST(ReportedFolders, WhatMayNotBeSearchedIsAnError) {
  TemporaryDirectory d;
  make_files(d, {"a.jsonl", "open/b.jsonl", "closed/c.jsonl", "closed/deep/d.jsonl"});
  fs::permissions(d.path(), fs::perms(0755));
  const auto closed = d.path() / "closed";
  for (const auto mode : {0000, 0444, 0111}) {
    fs::permissions(closed, fs::perms(mode));
    for (const std::string path : {"", "*", "*/*.jsonl", "*/c.jsonl", "c*/*/d.jsonl"}) {
      if (mode == 0111 && path == "*/c.jsonl") continue;  // may be searched
      SCOPED_TRACE(path + " with mode " + std::to_string(mode));
      const AsAnotherUser nobody;
      CorpusOptions options;
      options.paths = {d.path() / path};
      const std::string why = testing::error_of([&] { list_corpus(options); }, ExitCode::no_input);
      EXPECT_TRUE(contains(why, "/closed' cannot be ")) << why;
      EXPECT_TRUE(contains(why, "Permission denied")) << why;
    }
  }
  fs::permissions(closed, fs::perms(0755));
}

TEST(ReportedFolders, ThatTheGlobDoesNotMatchAreNotHidden) {
  TemporaryDirectory d;
  make_files(d, {"a.txt", ".b.txt", ".c.jsonl", ".x/d.txt"});
  CorpusOptions options;
  options.paths = {d.path()};
  options.glob = "*.txt";
  LeftOut left;
  EXPECT_EQ(list_corpus(options, &left).size(), 1u);
  EXPECT_EQ(left.text(), "2 hidden files");
}

}  // namespace
}  // namespace tovamill
