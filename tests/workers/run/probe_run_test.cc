// Whole probes within the test's own process: what is judged, and how a run goes on.
#include "workers/run/probe_run.h"

#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>

#include "io/results/hdf5_file.h"
#include "pipeline/probe/probe_results.h"
#include "pipeline/run_directory/run_directory.h"
#include "tests/support/error_of.h"
#include "tests/support/models/model_builder.h"
#include "tests/support/runs/generate_runs.h"
#include "tests/support/runs/results_text.h"
#include "tests/support/temporary_directory.h"
#include "workers/options/sweep.h"
#include "workers/probe/probe_corpus.h"

namespace tovamill {
namespace {

namespace fs = std::filesystem;
using testing::contains;
using testing::error_of;
using testing::QuietObserver;
using testing::results_text;
using testing::written_rows;
using testing::WrittenRow;

class ProbeRun : public ::testing::Test {
 protected:
  ProbeRun() { write_hf_model(testing::TinyModel{}, d.path() / "model"); }

  // As `tovamill probe` has them before it begins.
  RunOptions options(const std::string& out) const {
    RunOptions o = testing::tiny_options(d.path() / "model", "", d.path() / out);
    o.job_kind = Job::probe;
    o.corpus.question_key = "question";
    o.corpus.reference_key = "reference";
    o.generation.task = TaskChoice::qa;
    o.generation.chat_template = "none";
    o.generation.instruction = InstructionChoice::after;
    o.generation.max_new_tokens = 12;
    o.probe.tasks = "passkey,words";
    o.probe.lengths = "300,500";
    o.probe.depths = "0,1";
    o.probe.n = 2;
    return o;
  }
  static RunSummary probe(RunOptions o) {
    name_probe_corpus(o);
    make_probe_corpus(o, 0.0);
    return testing::score(o);
  }
  static std::string results(const RunOptions& o) { return results_text(results_path(o.out)); }
  static std::string read(const fs::path& path) {
    std::ifstream file(path, std::ios::binary);
    return {std::istreambuf_iterator<char>(file), {}};
  }
  static std::vector<ProbeCell> cells_of(const std::string& out, const std::string& setting = "") {
    const Hdf5File file(results_path(out), Hdf5File::Mode::read);
    return read_probe_setting(file, setting).cells;
  }
  testing::TemporaryDirectory d;
};

TEST_F(ProbeRun, JudgesEveryAnswer) {
  const RunOptions o = options("run");
  const RunSummary summary = probe(o);
  EXPECT_EQ(summary.n_documents, 12u);  // 2 of 2 lengths at 2 depths, and 2 of 2 lists
  EXPECT_EQ(summary.n_failed, 0u);
  const Hdf5File file(results_path(o.out), Hdf5File::Mode::read);
  const auto found = file.read_all<double>("/probe/n_found"),
             keys = file.read_all<double>("/probe/n_keys"),
             rows = file.read_all<double>("/probe/generation");
  const std::vector<WrittenRow> written = written_rows(o.out);
  ASSERT_EQ(found.size(), 12u);
  ASSERT_EQ(written.size(), 12u);
  const auto offsets = file.read_all<std::uint64_t>("/generations/reference_offsets");
  for (std::size_t i = 0; i < found.size(); ++i) {
    EXPECT_EQ(rows[i], static_cast<double>(i));
    const auto references =
        file.read_strings("/references/text", offsets[i], offsets[i + 1] - offsets[i]);
    EXPECT_EQ(keys[i], static_cast<double>(references.size()));
    EXPECT_EQ(found[i], n_keys_found(written[i].text, references));
    EXPECT_TRUE(probe_key_of(written[i].id));
  }
  const std::vector<ProbeCell> cells = cells_of(o.out);
  ASSERT_EQ(cells.size(), 6u);
  EXPECT_EQ(cells.back().task, ProbeTask::words);
  for (const ProbeCell& c : cells) EXPECT_EQ(c.n, 2u);
  EXPECT_EQ(file.read_all<double>("/probe/cells/n").size(), 6u);
}

// A model that repeats what it is told would be right: one whose stop string is the key is not.
TEST_F(ProbeRun, GenerateOverTheWrittenCorpusGivesTheSame) {
  RunOptions o = options("run");
  probe(o);
  RunOptions writes = options("none");
  name_probe_corpus(writes);
  write_probe_corpus(writes, d.path() / "corpus.jsonl");
  EXPECT_EQ(read(d.path() / "corpus.jsonl"), read(d.path() / "run" / kProbeCorpusName));
  RunOptions generates = o;
  generates.job_kind = Job::generate;
  generates.corpus.paths = {d.path() / "corpus.jsonl"};
  generates.out = d.path() / "generated";
  testing::score(generates);
  const auto probe_of = [](const RunOptions& run) {
    auto all = testing::results_within(results_path(run.out), "");
    std::erase_if(all, [](const auto& one) { return !contains(one.first, "/probe"); });
    return all;
  };
  EXPECT_GE(probe_of(o).size(), 15u);
  EXPECT_EQ(probe_of(o), probe_of(generates));
  // Without the references nothing can be judged.
  generates.corpus.reference_key.clear();
  generates.out = d.path() / "unjudged";
  testing::score(generates);
  EXPECT_TRUE(cells_of(generates.out).empty());
}

TEST_F(ProbeRun, EachSettingHasItsOwn) {
  RunOptions o = options("run");
  o.sweep = "policy=full,tova cache-size=200 instruction=after,before,pinned";
  const RunSummary summary = probe(o);
  ASSERT_EQ(summary.settings.size(), 6u);
  for (const SettingSummary& s : summary.settings) {
    EXPECT_EQ(s.summary.n_generations, 12u);
    const auto cells = cells_of(o.out, s.name);
    EXPECT_EQ(cells.size(), 6u) << s.name;
  }
  const Hdf5File file(results_path(o.out), Hdf5File::Mode::read);
  const ProbeSetting pinned = read_probe_setting(file, "tova-instruction=pinned");
  EXPECT_EQ(pinned.policy, "tova");
  EXPECT_EQ(pinned.instruction, "pinned");
  EXPECT_EQ(pinned.cache_size, 200);
}

TEST_F(ProbeRun, AStoppedProbeContinues) {
  RunOptions o = options("run");  // the corpus lies in it
  o.sweep = "policy=tova,random cache-size=100";
  o.generation.max_new_tokens = 300;
  probe(o);
  const std::string whole = results(o);
  fs::remove_all(o.out);
  o.streams = 2;
  for (const int after : {0, 3}) {
    RunOptions stopped = o;
    name_probe_corpus(stopped);
    make_probe_corpus(stopped, 0.0);
    QuietObserver observer(after);
    error_of([&] { run_corpus(stopped, observer); }, ExitCode::stopped);
  }
  probe(o);
  EXPECT_TRUE(results(o) == whole);
}

TEST_F(ProbeRun, OtherOptionsDoNotContinueIt) {
  d.write("novel.txt", "Nobody spoke. The rain fell on the roofs all day.");
  RunOptions o = options("run");
  o.probe.haystack = d.path() / "novel.txt";
  probe(o);
  const std::string before = results(o);
  probe(o);
  EXPECT_TRUE(results(o) == before);
  struct Case {
    const char* said;
    void (*change)(RunOptions&);
  };
  for (const Case& c :
       {Case{"--lengths was 300,500 and is 300", [](RunOptions& x) { x.probe.lengths = "300"; }},
        Case{"--n was 2 and is 3", [](RunOptions& x) { x.probe.n = 3; }},
        Case{"--seed was 0 and is 5", [](RunOptions& x) { x.generation.sampling.seed = 5; }},
        Case{"--haystack was", [](RunOptions& x) { x.probe.haystack.clear(); }}}) {
    RunOptions other = o;
    c.change(other);
    EXPECT_TRUE(contains(error_of([&] { probe(other); }, ExitCode::configuration), c.said));
  }
  d.write("novel.txt", "Nobody spoke. The rain fell on the roofs all night.");
  EXPECT_TRUE(contains(error_of([&] { probe(o); }, ExitCode::configuration), "--haystack was"));
  o.overwrite = true;
  probe(o);
  EXPECT_TRUE(contains(read(d.path() / "run" / kProbeCorpusName), "all night"));
  EXPECT_FALSE(results(o) == before);
}

TEST_F(ProbeRun, ReplacesNoFileOfTheUsers) {
  d.write("run/probe.jsonl", "{\"text\":\"my own\"}\n");
  EXPECT_TRUE(
      contains(error_of([&] { probe(options("run")); }, ExitCode::configuration), "probe.jsonl"));
  EXPECT_EQ(read(d.path() / "run/probe.jsonl"), "{\"text\":\"my own\"}\n");
}

}  // namespace
}  // namespace tovamill
