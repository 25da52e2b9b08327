// Runs of generation under mpirun: the same sampled texts at any number of ranks, through deaths
// and stops in the middle of writing, and all of them in the file of --stream-jsonl.
#include <gtest/gtest.h>
#include <signal.h>

#include <filesystem>
#include <fstream>
#include <map>
#include <nlohmann/json.hpp>
#include <tuple>

#include "io/results/hdf5_file.h"
#include "tests/support/models/model_builder.h"
#include "tests/support/runs/generate_runs.h"
#include "tests/support/runs/mpi_runs.h"

namespace tovamill {
namespace {

namespace fs = std::filesystem;
using nlohmann::json;
using testing::RunningProgram;
using testing::words;

// By file, byte offset, question and sample.
using TextKey = std::tuple<std::string, std::uint64_t, int, int>;

class MpiGenerate : public testing::MpiRuns {
 protected:
  MpiGenerate() {
    write_hf_model(testing::TinyModel{}, d.path() / "model");
    std::string lines;
    for (std::uint64_t i = 0; i < 16; ++i) {
      json r{{"text", words(20 + 9 * i, i)}, {"answer", "running connections"}};
      if (i % 2 == 0) r["id"] = "record-" + std::to_string(i);
      if (i % 4 == 1) r["question"] = "what is connected?";
      if (i % 4 == 2) {
        r["question"] = {"who runs?", "what is it?", "who runs?"};
        r["answer"] = {"a connection", {"runs", "running"}, words(8, i)};
      }
      lines += r.dump() + (i % 5 == 0 ? "\n{broken\n" : "\n");
    }
    d.write("corpus/records.jsonl", lines);
    for (std::uint64_t i = 0; i < 6; ++i)
      d.write("corpus/" + std::to_string(i) + ".txt", words(60 + 40 * i, i));
  }

  // Nearly all of the time goes into writing.
  std::vector<std::string> command(const std::string& out) const {
    return command_of("generate", out,
                      {"--reference-key", "answer", "--streams", "6", "--temperature", "1",
                       "--samples", "2", "--seed", "7", "--max-new-tokens", "160",
                       "--min-new-tokens", "100", "--stream-jsonl", d.path() / (out + ".jsonl")});
  }
  std::string run_alone() {
    const std::string alone = MpiRuns::run_alone("alone", command("alone"));
    expect_all_streamed("alone");
    return alone;
  }

  // Every text of results.h5 stands in the file of --stream-jsonl, and nothing else; what was
  // computed twice may stand there twice.
  void expect_all_streamed(const std::string& out) const {
    const testing::Results documents(d.path() / out);
    const Hdf5File results(d.path() / out / "results.h5", Hdf5File::Mode::read);
    const auto files = results.read_strings("/documents/file", 0, documents.id.size());
    std::map<TextKey, std::string> texts;
    const auto rows = testing::written_rows(d.path() / out);
    ASSERT_EQ(rows.size(), 2u * (12 + 3 * 4 + 6));
    for (const testing::WrittenRow& row : rows)
      texts[{fs::path(files[row.document]).filename(), documents.offset[row.document],
             static_cast<int>(row.question_index), static_cast<int>(row.sample)}] = row.text;
    std::map<TextKey, std::string> streamed;
    std::size_t n_failed = 0;
    std::ifstream file(d.path() / (out + ".jsonl"));
    for (std::string line; std::getline(file, line);) {
      const json r = json::parse(line);
      n_failed += r.contains("failure_reason");
      if (!r.contains("text")) continue;
      streamed[{fs::path(r["file"].get<std::string>()).filename(), r["offset"], r["question_index"],
                r["sample"]}] = r["text"];
    }
    EXPECT_TRUE(streamed == texts) << streamed.size() << " of " << texts.size() << " texts";
    EXPECT_GE(n_failed, documents.failure_reason.size());
    EXPECT_EQ(documents.failure_reason.size(), 4u);
  }
};

TEST_F(MpiGenerate, AnyNumberOfRanksWritesTheSameTexts) {
  const std::string expected = run_alone();
  for (const int n : {1, 2, 4}) {
    const std::string out = "ranks" + std::to_string(n);
    RunningProgram many(n, command(out));
    ASSERT_EQ(many.wait(), 0) << many.err();
    EXPECT_TRUE(results(out) == expected) << n << " ranks";
    expect_all_streamed(out);
  }
}

TEST_F(MpiGenerate, TheDeathOfAWorkerInTheMiddleOfWritingLosesNoText) {
  const std::string expected = run_alone();
  std::vector<std::string> c = command("run");
  c.insert(c.end(), {"--sync-seconds", "0.01"});
  RunningProgram run(3, c);
  ASSERT_TRUE(run.wait_until([&] { return journal_bytes("run", 2) > 4000; })) << run.err();
  kill(run.find_rank(2), SIGKILL);
  ASSERT_TRUE(wait_for_end(run, "run")) << run.err();
  EXPECT_EQ(status("run")["exit_code"], 0);
  EXPECT_EQ(status("run")["launch"], 1);
  EXPECT_TRUE(results("run") == expected);
  expect_all_streamed("run");
}

TEST_F(MpiGenerate, TheDeathOfTheCoordinatorInTheMiddleOfWritingLosesNoText) {
  const std::string expected = run_alone();
  {
    RunningProgram run(3, command("run"));
    ASSERT_TRUE(run.wait_until([&] { return journal_bytes("run", 1) > 4000; })) << run.err();
    kill(run.find_rank(0), SIGKILL);
    run.wait();  // the others notice and leave
  }
  EXPECT_FALSE(fs::exists(d.path() / "run/results.h5"));
  RunningProgram again(2, command("run"));
  ASSERT_EQ(again.wait(), 0) << again.err();
  EXPECT_EQ(status("run")["launch"], 2);
  EXPECT_TRUE(results("run") == expected);
  expect_all_streamed("run");
}

TEST_F(MpiGenerate, AStopInTheMiddleOfWritingGoesOnWithAnotherNumberOfRanks) {
  const std::string expected = run_alone();
  {
    RunningProgram run(2, command("run"));
    ASSERT_TRUE(run.wait_until([&] { return journal_bytes("run", 0) > 4000; })) << run.err();
    run.send(SIGUSR1);
    ASSERT_TRUE(wait_for_end(run, "run")) << run.err();
    run.wait();
  }
  EXPECT_EQ(status("run")["state"], "stopped");
  EXPECT_EQ(status("run")["exit_code"], 75);
  ASSERT_TRUE(fs::exists(d.path() / "run/states"));
  EXPECT_FALSE(fs::is_empty(d.path() / "run/states"));
  RunningProgram again(4, command("run"));
  ASSERT_EQ(again.wait(), 0) << again.err();
  EXPECT_TRUE(results("run") == expected);
  EXPECT_FALSE(fs::exists(d.path() / "run/states"));
  expect_all_streamed("run");
}

}  // namespace
}  // namespace tovamill
