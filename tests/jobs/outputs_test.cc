// Outputs through the built program: nothing goes that a run has not written itself, links, devices
// and modes stay. Numbers name public reports of programs that did otherwise.
#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <functional>
#include <iterator>
#include <map>

#include "tests/support/error_of.h"
#include "tests/support/models/model_builder.h"
#include "tests/support/runs/subprocess.h"
#include "tests/support/temporary_directory.h"

namespace tovamill {
namespace {

namespace fs = std::filesystem;
using testing::contains;
using testing::ProgramResult;
using testing::run_tovamill;
using Words = std::vector<std::string>;

// Every file below a folder, links as what they name, with its content; the runs' lock and status,
// which every start writes, aside.
std::map<std::string, std::string> files_below(const fs::path& folder) {
  std::map<std::string, std::string> files;
  for (const auto& entry : fs::recursive_directory_iterator(folder)) {
    const std::string name = fs::relative(entry.path(), folder).string();
    if (entry.is_symlink())
      files[name] = "-> " + fs::read_symlink(entry.path()).string();
    else if (entry.is_regular_file() && entry.path().filename() != "lock" &&
             entry.path().filename() != "status.json")
      files[name] = testing::content_of(entry.path());
  }
  return files;
}

// A model, a corpus, finished runs of score (`run`) and of summarize (`texts`, which streamed to
// `texts.jsonl`), made once.
class Outputs : public ::testing::Test {
 protected:
  static void SetUpTestSuite() {
    made_ = new testing::TemporaryDirectory;
    write_hf_model(testing::TinyModel{}, made_->path() / "model");
    made_->write("corpus/a.txt", "some words of a text");
    made_->write("corpus/b.jsonl",
                 "{\"id\":\"b1\",\"text\":\"first\"}\n{\"id\":\"b2\",\"text\":\"second\"}");
    const fs::path at = made_->path();
    ASSERT_EQ(run_tovamill(score(at)).exit_code, 0);
    const ProgramResult texts = run_tovamill(summarize(at, {"--stream-jsonl", at / "texts.jsonl"}));
    ASSERT_EQ(texts.exit_code, 0) << texts.err;
  }
  static void TearDownTestSuite() {
    delete made_;
    made_ = nullptr;
  }
  Outputs() { fs::copy(made_->path(), d.path(), fs::copy_options::recursive); }

  static Words score(const fs::path& at, const Words& more = {}) {
    Words all{"score", "--model",  at / "model", "--corpus", at / "corpus",
              "--out", at / "run", "--threads",  "1"};
    all.insert(all.end(), more.begin(), more.end());
    return all;
  }
  static Words summarize(const fs::path& at, const Words& more = {}) {
    Words all{"summarize", "--model",    at / "model", "--corpus", at / "corpus",
              "--out",     at / "texts", "--threads",  "1",        "--max-new-tokens",
              "3"};
    all.insert(all.end(), more.begin(), more.end());
    return all;
  }
  std::string at(const std::string& name) const { return d.path() / name; }

  // Refused with `code` and one line that names both; every file is as before.
  void expect_refused(const Words& command, int code, const Words& parts,
                      const std::string& out_to = "") const {
    const auto before = files_below(d.path());
    const ProgramResult result = run_tovamill(command, {}, out_to);
    EXPECT_EQ(result.exit_code, code) << result.err;
    EXPECT_EQ(std::count(result.err.begin(), result.err.end(), '\n'), 1) << result.err;
    EXPECT_TRUE(result.err.starts_with("tovamill: error: ")) << result.err;
    for (const std::string& part : parts) EXPECT_TRUE(contains(result.err, part)) << result.err;
    EXPECT_TRUE(files_below(d.path()) == before) << "files have changed";
  }

  // The same of a start that makes a run directory before it finds out.
  void expect_refused_beside(const char* run, const Words& command, const char* file) const {
    const std::string before = testing::content_of(at(file));
    EXPECT_EQ(run_tovamill(command).exit_code, 78);
    EXPECT_EQ(testing::content_of(at(file)), before);
    fs::remove_all(at(run));
  }

  testing::TemporaryDirectory d;
  static testing::TemporaryDirectory* made_;
};

testing::TemporaryDirectory* Outputs::made_ = nullptr;

// An input under any name is no output: tractconverter#33, cssembed#5, svgo#2, Little-CMS#19,
// PDAL#3717, qsv#4580 (emptied before it was read, exit 0).
TEST_F(Outputs, InputsAreRefused) {
  fs::create_symlink("corpus/b.jsonl", at("link.jsonl"));
  fs::create_hard_link(at("corpus/b.jsonl"), at("hard.jsonl"));
  fs::create_hard_link(at("run/results.h5"), at("hard.h5"));
  fs::create_directory_symlink("corpus", at("corpus-link"));
  d.write("my.prompt", "{document}");
  d.write("my.ini", "threads = 1\n");
  d.write("my.json",
          R"({"format":"tovamill budgets","version":1,"model":"","merge":0,"sizes":[32,64],)"
          R"("errors":[[1,0.5],[1,0.4]]})");
  d.write("references.jsonl", "{\"id\":\"b1\",\"reference\":\"x\"}\n");
  const std::string corpus = at("corpus/b.jsonl"), read = made_->path() / "texts";
  struct Case {
    Words command;
    Words parts;
  };
  const auto streamed = [&](const std::string& to, const Words& more = {}) {
    Words all = summarize(d.path(), {"--stream-jsonl", to});
    all.insert(all.end(), more.begin(), more.end());
    return all;
  };
  const auto with_out = [&](const std::string& out) {
    Words all = score(d.path());
    all[6] = out;
    return all;
  };
  std::vector<Case> cases{
      {streamed(corpus), {corpus, "--stream-jsonl"}},
      {streamed(at("link.jsonl"), {"--corpus", corpus}), {"link.jsonl", "corpus"}},
      {streamed(at("hard.jsonl")), {"hard.jsonl", corpus}},
      {streamed(at("model/config.json")), {"model/config.json"}},
      {streamed(at("model/tokenizer.json")), {"model/tokenizer.json"}},
      {streamed(at("model/model.safetensors")), {"model.safetensors"}},
      {streamed(at("my.prompt"), {"--prompt", at("my.prompt")}), {"--prompt"}},
      {streamed(at("my.ini"), {"--config", at("my.ini")}), {"--config"}},
      {streamed(at("my.json"), {"--budgets", at("my.json")}), {"--budgets"}},
      {with_out(at("corpus")), {"corpus"}},
      {with_out(at("corpus-link")), {"corpus-link"}},
      {with_out(at("model")), {"model"}},
      {{"export", at("run"), "--output", at("run/results.h5")}, {"results.h5", "file of results"}},
      {{"export", at("run"), "--output", at("hard.h5")}, {"hard.h5", "file of results"}},
      {{"export", read, "--format", "jsonl", "--output", made_->path() / "corpus/b.jsonl"},
       {"corpus file of the run"}},
      {{"rescore", at("texts"), "--references", at("references.jsonl"), "--out",
        at("references.jsonl")},
       {"--references"}},
      {{"rescore", at("texts"), "--references", at("references.jsonl"), "--out",
        at("texts/results.h5")},
       {"file of results"}}};
  for (const Case& c : cases) {
    SCOPED_TRACE(::testing::PrintToString(c.command));
    Words fresh = c.command;
    if (fresh.front() == "summarize") fresh[6] = at("another");
    expect_refused(fresh, 78, c.parts);
    if (fresh.front() == "export" || fresh.front() == "rescore") continue;
    Words overwriting = c.command;
    overwriting.emplace_back("--overwrite");
    expect_refused(overwriting, 78, c.parts);
  }
}

// A file that is there and is nobody's output of this kind stays, also under --overwrite: the
// issue's corpus.jsonl, scilpy#55, androguard#768, Montreal-Forced-Aligner#47, sticker-convert#118,
// google-fonts-helper#65 (folders emptied), justwrite#1.
TEST_F(Outputs, WhatTheRunHasNotWrittenIsRefused) {
  d.write("mine.csv", "id,file\n1,2\n");
  d.write("mine.h5", "\x89HDF\r\n\x1a\n and no more");
  d.write("mine.jsonl", "{\"id\":\"x\",\"text\":\"no line end\"}");
  d.write("lines.jsonl", "{\"id\":\"x\",\"text\":\"a\"}\n{\"id\":\"torn");
  d.write("notes.txt", "notes");
  for (const char* out : {"mine.csv", "mine.h5", "mine.jsonl", "notes.txt"}) {
    SCOPED_TRACE(out);
    expect_refused({"export", at("run"), "--output", at(out)}, 78, {out});
    expect_refused({"rescore", at("texts"), "--references", at("corpus/b.jsonl"), "--reference-key",
                    "text", "--out", at(out)},
                   78, {out});
  }
  for (const char* to : {"mine.csv", "mine.jsonl", "lines.jsonl", "notes.txt"}) {
    SCOPED_TRACE(to);
    Words command = summarize(d.path(), {"--stream-jsonl", at(to), "--overwrite"});
    expect_refused(command, 78, {to});
    command[6] = at("another");  // no run yet
    expect_refused_beside("another", command, to);
    command.pop_back();
    expect_refused_beside("another", command, to);
  }
  // The lines of another run.
  Words other = summarize(d.path(), {"--stream-jsonl", at("texts.jsonl"), "--overwrite"});
  other[6] = at("other");
  const std::string before = testing::content_of(at("texts.jsonl"));
  EXPECT_EQ(run_tovamill(other).exit_code, 78);
  EXPECT_EQ(testing::content_of(at("texts.jsonl")), before);
}

TEST_F(Outputs, FoldersThatHoldOtherThingsAreRefused) {
  struct Case {
    const char *file, *content;
  };
  const std::vector<Case> cases{{"thesis.txt", "precious"},
                                {"journal/1815-06-18.md", "rain"},
                                {"journal/app.log", "a log"},
                                {"journal/0-1.log", "not of a run"},
                                {"journal/launch-x.log", ""},
                                {"journal/launch-1.log", "of a rocket"},
                                {"journal/deeper/0-1.log", "TVJ1"},
                                {"states/x.state", "TVST"},
                                {"states/notes.tmp", ""},
                                {"results.h5", "not HDF5"},
                                {"results.h5.bak", "x"},
                                {"status.json", "{\"mine\": 1}"},
                                {"report.html", "<p>mine</p>"},
                                {"lock", "a diary has one"},
                                {".results.h5.0123.tmp", "x"},
                                {"x.csv.tmp", "x"}};
  for (const Case& c : cases) {
    for (const Words& more : {Words{}, Words{"--overwrite"}}) {
      SCOPED_TRACE(c.file);
      testing::TemporaryDirectory out;
      out.write(c.file, c.content);
      Words command = score(d.path(), more);
      command[6] = out.path();
      expect_refused(command, 78, {fs::path(c.file).begin()->string()});
      EXPECT_EQ(testing::content_of(out.path() / c.file), c.content);
    }
  }
  for (const char* out : {"model", "corpus", "run", "texts"})
    expect_refused({"merge", at("run"), "--out", at(out)}, 78, {"--out"});
}

// --overwrite of a run takes what the run wrote, and its lines in --stream-jsonl, through links,
// which stay.
TEST_F(Outputs, OverwriteReplacesWhatTheRunWrote) {
  fs::rename(at("texts.jsonl"), at("elsewhere.jsonl"));
  fs::create_symlink("elsewhere.jsonl", at("texts.jsonl"));
  fs::rename(at("texts/results.h5"), at("results-elsewhere.h5"));
  fs::create_symlink("../results-elsewhere.h5", at("texts/results.h5"));
  const std::string lines = testing::content_of(at("elsewhere.jsonl"));
  const ProgramResult again = run_tovamill(summarize(
      d.path(), {"--stream-jsonl", at("texts.jsonl"), "--overwrite", "--max-new-tokens", "5"}));
  EXPECT_EQ(again.exit_code, 0) << again.err;
  EXPECT_TRUE(fs::is_symlink(at("texts.jsonl")));
  EXPECT_TRUE(fs::is_symlink(at("texts/results.h5")));
  EXPECT_TRUE(fs::is_regular_file(at("results-elsewhere.h5")));
  EXPECT_NE(testing::content_of(at("elsewhere.jsonl")), lines);
  EXPECT_EQ(run_tovamill({"export", at("texts")}).exit_code, 0);
}

// Links: timewarrior#547, terminal#10908, cc-switch#5249, mngr#1238; modes: python-atomicwrites#11,
// agent-os#1376, hydra#299; names of temporary files: justwrite#1, vistasoft#170.
TEST_F(Outputs, LinksModesAndNeighboursStay) {
  const Words to{"export", at("run"), "--output", at("x.csv")};
  d.write("x.csv.tmp", "mine");
  d.write("results.h5.rescore.tmp", "mine");
  ASSERT_EQ(run_tovamill(to).exit_code, 0);
  const std::string table = testing::content_of(at("x.csv"));
  EXPECT_EQ(testing::content_of(at("x.csv.tmp")), "mine");
  fs::permissions(at("x.csv"), fs::perms(0640));
  fs::rename(at("x.csv"), at("target.csv"));
  fs::create_symlink("target.csv", at("between.csv"));
  fs::create_symlink(at("between.csv"), at("x.csv"));
  d.write("target.csv", table.substr(0, table.find('\n') + 1));
  fs::permissions(at("target.csv"), fs::perms(0640));
  const ProgramResult through = run_tovamill(to);
  EXPECT_EQ(through.exit_code, 0) << through.err;
  EXPECT_TRUE(fs::is_symlink(at("x.csv")));
  EXPECT_TRUE(fs::is_symlink(at("between.csv")));
  EXPECT_EQ(testing::content_of(at("target.csv")), table);
  EXPECT_EQ(fs::status(at("target.csv")).permissions(), fs::perms(0640));
  fs::remove(at("target.csv"));  // a link to what is not there makes it
  EXPECT_EQ(run_tovamill(to).exit_code, 0);
  EXPECT_EQ(testing::content_of(at("target.csv")), table);
  fs::create_symlink("loop.csv", at("loop.csv"));
  EXPECT_EQ(run_tovamill({"export", at("run"), "--output", at("loop.csv")}).exit_code, 73);
  fs::remove(at("loop.csv"));
  expect_refused({"export", at("run"), "--output", at("corpus")}, 73, {"is a directory"});
  expect_refused({"export", at("run"), "--output", at("none/x.csv")}, 73, {"none/x.csv"});
  for (const auto& [name, content] : files_below(d.path()))
    EXPECT_TRUE(!name.ends_with(".tmp") || content == "mine") << name;
}

// OCRmyPDF#1068, rmlint#763, os-tools#466, zstd#316, bazel#31038, brpc#2345, mc#2012: /dev/null
// became a file.
TEST_F(Outputs, DevicesAndPipesAreWrittenAsTheyAre) {
  const std::string table = run_tovamill({"export", at("run")}).out;
  EXPECT_EQ(run_tovamill({"export", at("run"), "--output", "/dev/stdout"}).out, table);
  EXPECT_EQ(run_tovamill({"export", at("run"), "--output", "/dev/fd/1"}).out, table);
  EXPECT_EQ(run_tovamill({"export", at("run"), "--output", "/dev/null"}).exit_code, 0);
  EXPECT_TRUE(fs::is_character_file("/dev/null"));
  EXPECT_EQ(run_tovamill({"export", at("run"), "--output", "/dev/full"}).exit_code, 74);
  EXPECT_TRUE(fs::is_character_file("/dev/full"));
  expect_refused({"export", at("run"), "--output", "/dev/fd/77"}, 73, {"/dev/fd/77"});
  ASSERT_EQ(mkfifo(at("fifo").c_str(), 0600), 0);
  const std::string script = std::string("'" TOVAMILL_PROGRAM "' export '") + at("run") +
                             "' --output '" + at("fifo") + "' & cat '" + at("fifo") + "'; wait $!";
  EXPECT_EQ(testing::run_subprocess({"bash", "-c", script}).out, table);
  EXPECT_TRUE(fs::is_fifo(at("fifo")));
  const std::string substitution =
      std::string("'" TOVAMILL_PROGRAM "' export '") + at("run") + "' --output >(cat >&2); wait";
  EXPECT_EQ(testing::run_subprocess({"bash", "-c", substitution + "; sleep 0.2"}).err, table);
  for (const char* to : {"/dev/null", "/dev/stdout"})
    expect_refused({"rescore", at("texts"), "--references", at("corpus/b.jsonl"), "--out", to}, 73,
                   {to});
  EXPECT_EQ(
      run_tovamill(summarize(d.path(), {"--stream-jsonl", at("fifo"), "--overwrite"})).exit_code,
      73);
  // Any user has a link to a device; root has a node in a folder that the command may write to.
  fs::create_symlink("/dev/null", at("link"));
  EXPECT_EQ(run_tovamill({"export", at("run"), "--output", at("link")}).exit_code, 0);
  EXPECT_TRUE(fs::is_symlink(at("link")) && fs::is_character_file("/dev/null"));
  if (mknod(at("null").c_str(), S_IFCHR | 0666, makedev(1, 3)) == 0) {
    EXPECT_EQ(run_tovamill({"export", at("run"), "--output", at("null")}).exit_code, 0);
    EXPECT_TRUE(fs::is_character_file(at("null")));
  }
}

// What a command prints must not grow what it reads.
TEST_F(Outputs, StandardOutputIntoTheCorpusIsRefused) {
  const Words tokenize{"tokenize", "--model", at("model"), "--corpus", at("corpus")};
  for (const Words& command : {tokenize, score(d.path())}) {
    d.write("corpus/out.txt", "");
    const ProgramResult result = run_tovamill(command, {}, at("corpus/out.txt"));
    EXPECT_EQ(result.exit_code, 78) << result.err;
    EXPECT_TRUE(contains(result.err, "standard output goes to")) << result.err;
  }
  EXPECT_EQ(testing::content_of(at("corpus/out.txt")), "");
}

// A table replaces one of tovamill export, whichever, and an empty file; results replace results.
TEST_F(Outputs, OutputsOfTheSameKindAreReplaced) {
  d.write("x", "");
  for (const Words& more : {Words{}, Words{"--format", "jsonl"}, Words{}}) {
    for (const char* run : {"run", "texts"}) {
      Words command{"export", at(run), "--output", at("x")};
      command.insert(command.end(), more.begin(), more.end());
      const ProgramResult result = run_tovamill(command);
      EXPECT_EQ(result.exit_code, 0) << result.err;
      Words printed{"export", at(run)};
      printed.insert(printed.end(), more.begin(), more.end());
      EXPECT_EQ(testing::content_of(at("x")), run_tovamill(printed).out);
    }
  }
  for (int i = 0; i < 2; ++i) {
    EXPECT_EQ(run_tovamill({"merge", at("run"), "--out", at("merged")}).exit_code, 0);
    EXPECT_EQ(run_tovamill({"rescore", at("texts"), "--references", at("corpus/b.jsonl"),
                            "--reference-key", "text", "--out", at("rescored.h5")})
                  .exit_code,
              0);
  }
}

// The file of --stream-jsonl may lie in the run directory, but not under the name of a file of it.
TEST_F(Outputs, TheStreamMayLieInTheRunDirectory) {
  Words command = summarize(d.path(), {"--stream-jsonl", at("inside/texts.jsonl")});
  command[6] = at("inside");
  for (int i = 0; i < 2; ++i) {
    const ProgramResult result = run_tovamill(command);
    EXPECT_EQ(result.exit_code, 0) << result.err;
  }
  command.emplace_back("--overwrite");
  EXPECT_EQ(run_tovamill(command).exit_code, 0);
  for (const char* name : {"results.h5", "status.json", "lock", "journal"}) {
    Words reserved = summarize(d.path(), {"--stream-jsonl", at("new/") + name});
    reserved[6] = at("new");
    expect_refused(reserved, 78, {name});
  }
}

}  // namespace
}  // namespace tovamill
