// A run that is continued over a corpus which is not the one that it has begun to read.
#include "workers/run/run_inputs.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/stat.h>

#include <filesystem>
#include <fstream>
#include <functional>

#include "tests/support/error_of.h"
#include "tests/support/models/file_builders.h"
#include "tests/support/models/model_builder.h"
#include "tests/support/runs/score_runs.h"
#include "tests/support/temporary_directory.h"
#include "workers/run/corpus_run.h"

namespace tovamill {
namespace {

namespace fs = std::filesystem;
using testing::contains;
using testing::error_of;
using testing::Results;
using testing::score;
using testing::TemporaryDirectory;
using testing::tiny_options;
using testing::TinyModel;

std::string line(int i) { return R"({"text": "record )" + std::to_string(i) + " 1 2 3\"}\n"; }
std::string lines(int n) {
  std::string text;
  for (int i = 0; i < n; ++i) text += line(i);
  return text;
}

class ContinuedCorpus : public ::testing::Test {
 protected:
  ContinuedCorpus() {
    write_hf_model(TinyModel{}, d.path() / "model");
    write_corpus();
  }
  void write_corpus() const {
    fs::remove_all(d.path() / "corpus");
    d.write("corpus/a.jsonl", lines(4));
    d.write("corpus/b.jsonl", lines(3));
    d.write("corpus/c.txt", "a text");
    d.write("corpus/blank.jsonl", line(0) + "  ");
    d.write("corpus/empty.jsonl", "");
    d.write("corpus/unfinished.jsonl", R"({"text": "no end of line"})");
  }
  std::string at(const std::string& name) const { return d.path() / "corpus" / name; }
  void append(const std::string& name, const std::string& text) const {
    std::ofstream(at(name), std::ios::app) << text;
  }
  void replace(const std::string& name, const std::string& text) const {
    d.write("corpus/" + name, text);
  }
  void keep_time(const std::string& name, const std::function<void()>& edit) const {
    const auto time = fs::last_write_time(at(name));
    edit();
    fs::last_write_time(at(name), time);
  }
  RunOptions options(const std::string& out = "run") const {
    return tiny_options(d.path() / "model", d.path() / "corpus", d.path() / out);
  }

  TemporaryDirectory d;
};

struct Change {
  const char* name;
  std::function<void(const std::function<std::string(const char*)>& at)> make;
  const char* message;         // "" : the run continues
  const char* appended = "-";  // the same with --accept-appended; "-": no other
};

void write(const std::string& path, const std::string& text) { std::ofstream(path) << text; }
void add(const std::string& path, const std::string& text) {
  std::ofstream(path, std::ios::app) << text;
}

const std::vector<Change> kChanges{
    {"nothing", [](const auto&) {}, ""},
    {"times", [](const auto& at) { write(at("a.jsonl"), lines(4)); }, ""},
    {"moved and back",
     [](const auto& at) {
       fs::rename(at("a.jsonl"), at("a.tmp"));
       fs::rename(at("a.tmp"), at("a.jsonl"));
     },
     ""},
    {"first line deleted",
     [](const auto& at) { write(at("a.jsonl"), lines(4).substr(line(0).size())); },
     "a.jsonl has become shorter"},
    {"same size",
     [](const auto& at) { write(at("a.jsonl"), line(9) + line(1) + line(2) + line(3)); },
     "a.jsonl has changed (108 bytes as before"},
    {"same size and time",
     [](const auto& at) {
       const auto time = fs::last_write_time(at("a.jsonl"));
       write(at("a.jsonl"), line(9) + line(1) + line(2) + line(3));
       fs::last_write_time(at("a.jsonl"), time);
     },
     "a.jsonl has changed (108 bytes as before"},
    {"line inserted", [](const auto& at) { write(at("a.jsonl"), line(7) + lines(4)); },
     "a.jsonl has changed (135 bytes, was 108)"},
    {"emptied", [](const auto& at) { write(at("b.jsonl"), ""); }, "b.jsonl has become shorter (0"},
    {"gone", [](const auto& at) { fs::remove(at("b.jsonl")); }, "b.jsonl is gone"},
    {"renamed", [](const auto& at) { fs::rename(at("b.jsonl"), at("d.jsonl")); },
     "b.jsonl is gone"},
    {"exchanged",
     [](const auto& at) {
       fs::rename(at("a.jsonl"), at("x"));
       fs::rename(at("b.jsonl"), at("a.jsonl"));
       fs::rename(at("x"), at("b.jsonl"));
     },
     "a.jsonl has become shorter"},
    {"line appended", [](const auto& at) { add(at("a.jsonl"), line(4)); },
     "a.jsonl has grown (135 bytes, was 108): restore it, give another --out, or --overwrite; "
     "--accept-appended",
     ""},
    {"blank line appended", [](const auto& at) { add(at("a.jsonl"), "\n"); }, "a.jsonl has grown",
     ""},
    {"new file", [](const auto& at) { write(at("d.jsonl"), line(0)); }, "d.jsonl is new", ""},
    {"new text before others", [](const auto& at) { write(at("0.txt"), "words"); }, "0.txt is new",
     ""},
    {"text grown", [](const auto& at) { add(at("c.txt"), " more"); },
     "c.txt has grown (11 bytes, was 6) and cannot be continued: it is one document"},
    {"empty file grown", [](const auto& at) { add(at("empty.jsonl"), line(0)); },
     "empty.jsonl has grown (27 bytes, was 0): restore it", ""},
    {"empty file grown by an unfinished line",
     [](const auto& at) { add(at("empty.jsonl"), line(0).substr(0, line(0).size() - 1)); },
     "empty.jsonl has grown (26 bytes, was 0): restore it", ""},
    {"unfinished line finished", [](const auto& at) { add(at("unfinished.jsonl"), "\n"); },
     "unfinished.jsonl has grown (27 bytes, was 26): restore it", ""},
    {"unfinished line finished, and lines",
     [](const auto& at) { add(at("unfinished.jsonl"), "\n\n" + line(0) + " \n" + line(1)); },
     "unfinished.jsonl has grown", ""},
    {"unfinished line finished by a newline of Windows",
     [](const auto& at) { add(at("unfinished.jsonl"), "\r\n" + line(0)); },
     "cannot be continued: its last line was not finished"},
    {"unfinished blank line and more of it",
     [](const auto& at) { add(at("blank.jsonl"), line(0)); },
     "cannot be continued: its last line was not finished"},
    {"unfinished blank line finished, and lines",
     [](const auto& at) { add(at("blank.jsonl"), "\n" + line(1)); }, "blank.jsonl has grown", ""},
    {"unfinished line and more of it",
     [](const auto& at) { add(at("unfinished.jsonl"), "  " + line(0)); },
     "cannot be continued: its last line was not finished"},
    {"one grown, one changed",
     [](const auto& at) {
       add(at("a.jsonl"), line(4));
       fs::remove(at("b.jsonl"));
     },
     "b.jsonl is gone"},
};

TEST_F(ContinuedCorpus, AChangedCorpusIsRefusedByName) {
  for (const Change& change : kChanges) {
    SCOPED_TRACE(change.name);
    write_corpus();
    fs::remove_all(d.path() / "run");
    const std::uint64_t n_before = score(options()).n_documents;
    ASSERT_EQ(n_before, 10u);
    change.make([this](const char* name) { return at(name); });
    for (const bool accepts : {false, true}) {
      RunOptions o = options();
      o.accept_appended = accepts;
      const std::string wanted =
          accepts && std::string(change.appended) != "-" ? change.appended : change.message;
      if (wanted.empty()) {
        score(o);
      } else {
        const std::string why = error_of([&] { score(o); }, ExitCode::configuration);
        EXPECT_TRUE(contains(why, wanted)) << why;
      }
    }
    RunOptions fresh = options();
    fresh.overwrite = true;
    if (std::string(change.appended).empty() || std::string(change.message).empty()) {
      // What was continued is what a fresh run gives.
      const Results continued(d.path() / "run");
      score(fresh);
      const Results whole(d.path() / "run");
      EXPECT_EQ(continued.id, whole.id);
      EXPECT_EQ(continued.nll_sum, whole.nll_sum);
      EXPECT_EQ(continued.line, whole.line);
    } else {
      score(fresh);
    }
    score(options());  // what is accepted or begun afresh is on record
  }
}

// git-for-windows/git#5132: another file of the same size and times.
TEST_F(ContinuedCorpus, TimesOfAFileThatHasJustChangedDoNotTell) {
  CorpusOptions corpus;
  corpus.paths = {d.path() / "corpus"};
  const std::vector<CorpusFile> files = list_corpus(corpus);
  const std::int64_t changed = inspect_inputs(files, std::int64_t{1} << 62)[0].changed_ns;
  EXPECT_EQ(inspect_inputs(files, changed + kClockTickNs)[0].changed_ns, changed);
  for (const std::int64_t now : {changed + kClockTickNs - 1, changed, changed - 1})
    EXPECT_EQ(inspect_inputs(files, now)[0].changed_ns, kUnsettled);

  std::vector<InputFile> recorded = inspect_inputs(files, changed);
  for (InputFile& file : recorded) file.digest = content_digest(file, file.n_bytes);
  keep_time("a.jsonl", [&] { replace("a.jsonl", lines(5).substr(line(0).size())); });
  const InputComparison c =
      compare_inputs(recorded, files, inspect_inputs(files, std::int64_t{1} << 62), {});
  ASSERT_EQ(c.changed.size(), 1u);
  EXPECT_TRUE(contains(c.changed[0], "a.jsonl has changed (108 bytes as before")) << c.changed[0];
}

// A log that is written on, each time with a start that reads what there is.
TEST_F(ContinuedCorpus, AFileThatGrowsFromNothingIsReadOnceWhateverItsEnds) {
  RunOptions o = options();
  o.accept_appended = true;
  const std::string unfinished = line(3).substr(0, line(3).size() - 1);
  std::uint64_t n_documents = score(o).n_documents;
  const std::vector<std::pair<std::string, int>> writes{
      {unfinished, 1},        {"\n", 0},   {line(1) + "\n", 1}, {unfinished, 1},
      {"\n" + unfinished, 1}, {"\n  ", 0}, {"\n", 0},           {line(2), 1}};
  for (const auto& [text, n_more] : writes) {
    append("empty.jsonl", text);
    score(o);
    n_documents += static_cast<std::uint64_t>(n_more);
    EXPECT_EQ(Results(d.path() / "run").id.size(), n_documents) << text;
  }
  const Results continued(d.path() / "run");
  score(options("fresh"));
  const Results whole(d.path() / "fresh");
  EXPECT_EQ(continued.id, whole.id);
  EXPECT_EQ(continued.line, whole.line);
  EXPECT_EQ(continued.nll_sum, whole.nll_sum);
}

TEST_F(ContinuedCorpus, WithoutARecordOfItIsRefused) {
  score(options());
  fs::remove(inputs_path(d.path() / "run"));
  const std::string why = error_of([&] { score(options()); }, ExitCode::configuration);
  EXPECT_TRUE(contains(why, "inputs.log, which says what the finished documents were read from"))
      << why;
  RunOptions fresh = options();
  fresh.overwrite = true;
  score(fresh);
}

TEST_F(ContinuedCorpus, LargeFilesMustKeepTheirTime) {
  std::string text = lines(2);
  text.resize(17u << 20, '\n');
  text += line(3);
  replace("a.jsonl", text);
  score(options());
  const auto time = fs::last_write_time(at("a.jsonl"));
  fs::last_write_time(at("a.jsonl"), time + std::chrono::seconds(5));
  const std::string why = error_of([&] { score(options()); }, ExitCode::configuration);
  EXPECT_TRUE(contains(why, "may have changed: modified ")) << why;
  EXPECT_TRUE(contains(why, "touch -d '")) << why;
  const std::string command = why.substr(why.find("touch -d"), why.find("'):") - why.find("touch"));
  ASSERT_EQ(std::system((command + "'").c_str()), 0) << command;
  score(options());
}

TEST_F(ContinuedCorpus, AFileThatChangesMeanwhileGetsNoDigest) {
  score(options());
  RunInputs inputs = read_inputs(d.path() / "run");
  ASSERT_EQ(inputs.files.size(), 6u);
  for (InputFile& input : inputs.files) {
    EXPECT_TRUE(input.digest) << input.path;
    input.digest.reset();
  }
  EXPECT_EQ(changes_since(inputs.files), "");
  append("a.jsonl", line(4));
  const std::atomic<bool> stops = false;
  record_digests(d.path() / "run", inputs, stops);
  EXPECT_FALSE(read_inputs(d.path() / "run").files[0].digest);
  EXPECT_TRUE(read_inputs(d.path() / "run").files[1].digest);
  EXPECT_TRUE(contains(changes_since(inputs.files), "has changed while it was read: "))
      << at("a.jsonl");
}

TEST_F(ContinuedCorpus, ADamagedRecordIsRefused) {
  score(options());
  const std::string path = inputs_path(d.path() / "run");
  fs::resize_file(path, fs::file_size(path) - 3);
  EXPECT_TRUE(contains(error_of([&] { score(options()); }, ExitCode::bad_data), "is damaged"));
}

TEST_F(ContinuedCorpus, PartsOfDifferentCorporaAreNotMerged) {
  RunOptions one = options("one"), two = options("two");
  one.part = {.index = 1, .n = 2};
  two.part = {.index = 2, .n = 2};
  score(one);
  append("b.jsonl", line(4));
  score(two);
  const std::string why = error_of(
      [&] {
        merge_run({one.out, two.out}, d.path() / "all");
      },
      ExitCode::configuration);
  EXPECT_TRUE(contains(why, "b.jsonl was another file when ")) << why;
}

TEST_F(ContinuedCorpus, AppendedRecordsAndChosenOnesDoNotGoTogether) {
  RunOptions o = options();
  o.accept_appended = true;
  o.limit = 2;
  EXPECT_TRUE(contains(error_of([&] { validate(o); }, ExitCode::configuration), "--limit"));
}

}  // namespace
}  // namespace tovamill
