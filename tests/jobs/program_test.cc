// The built program as a user meets it: help, versions, exit codes and one-line errors.
#include <gtest/gtest.h>

#include <algorithm>
#include <nlohmann/json.hpp>

#include "jobs/commands/commands.h"
#include "pipeline/run_directory/run_directory.h"
#include "tests/support/runs/subprocess.h"
#include "tests/support/runs/synthetic_run.h"
#include "tests/support/temporary_directory.h"

namespace tovamill {
namespace {

using testing::ProgramResult;
using testing::run_tovamill;

void expect_error(const std::vector<std::string>& arguments, int code, const std::string& part,
                  const std::vector<std::string>& environment = {}) {
  const ProgramResult result = run_tovamill(arguments, environment);
  EXPECT_EQ(result.exit_code, code) << result.err;
  EXPECT_EQ(result.out, "");
  EXPECT_EQ(result.err.find("tovamill: error: "), 0u) << result.err;
  EXPECT_NE(result.err.find(part), std::string::npos) << result.err;
  EXPECT_EQ(std::count(result.err.begin(), result.err.end(), '\n'), 1) << result.err;
}

TEST(Program, HelpOfEachCommandIsTheSameByOptionAndByCommand) {
  for (const Subcommand& command : all_commands()) {
    const ProgramResult by_option = run_tovamill({command.name, "--help"});
    EXPECT_EQ(by_option.exit_code, 0) << by_option.err;
    EXPECT_EQ(by_option.err, "");
    EXPECT_EQ(by_option.out.find("Usage: tovamill " + command.name + " "), 0u);
    EXPECT_NE(by_option.out.find("Examples:"), std::string::npos);
    EXPECT_EQ(run_tovamill({"help", command.name}).out, by_option.out);
  }
}

TEST(Program, HelpListsEveryCommand) {
  const ProgramResult help = run_tovamill({"--help"});
  EXPECT_EQ(help.exit_code, 0);
  for (const Subcommand& command : all_commands()) {
    EXPECT_NE(help.out.find("\n  " + command.name + " "), std::string::npos) << command.name;
    EXPECT_NE(help.out.find(command.summary), std::string::npos) << command.name;
  }
  EXPECT_EQ(run_tovamill({"help"}).out, help.out);
}

TEST(Program, WithoutArgumentsPrintsItsHelpAsAUsageError) {
  const ProgramResult bare = run_tovamill({});
  EXPECT_EQ(bare.exit_code, 64);
  EXPECT_EQ(bare.out, "");
  EXPECT_NE(bare.err.find("Usage: tovamill COMMAND"), std::string::npos);
}

TEST(Program, VersionNamesBuildAndLibraries) {
  const ProgramResult version = run_tovamill({"--version"});
  EXPECT_EQ(version.exit_code, 0);
  for (const char* part :
       {"tovamill 0.", "oneDNN ", "HDF5 1.", "Boost 1.", "Oniguruma 6.", "Open MPI ", "CUDA"}) {
    EXPECT_NE(version.out.find(part), std::string::npos) << version.out;
  }
}

TEST(Program, VersionIsACommandToo) {
  const ProgramResult command = run_tovamill({"version"});
  EXPECT_EQ(command.exit_code, 0) << command.err;
  EXPECT_EQ(command.out, run_tovamill({"--version"}).out);
  EXPECT_NE(run_tovamill({"help"}).out.find("\n  version "), std::string::npos);
  EXPECT_EQ(run_tovamill({"help", "version"}).exit_code, 0);
  EXPECT_EQ(run_tovamill({"version", "--help"}).exit_code, 0);
  expect_error({"version", "score"}, 64, "version takes nothing else");
  expect_error({"verson"}, 64, "did you mean version?");
}

TEST(Program, SmallModelsHaveTheirParametersToo) {
  const testing::TemporaryDirectory d;
  const ProgramResult run = run_tovamill({"score", "--model", "random:tiny", "--corpus",
                                          d.write("a.txt", "A text."), "--out", d.path() / "run"});
  EXPECT_NE(run.err.find("127 K parameters"), std::string::npos) << run.err;
}

TEST(Program, WhatANewcomerGivesAsAModelIsTurnedAwayWithAdvice) {
  const testing::TemporaryDirectory d;
  d.write("models/b.gguf", "GGUF");
  d.write("models/a.gguf", "GGUF");
  const std::string models = d.path() / "models", text = d.write("texts/a.txt", "A text.");
  const auto expect_refused = [&](const std::string& model, int code, const std::string& part) {
    expect_error({"score", "--model", model, "--corpus", text, "--out", d.path() / "run"}, code,
                 part);
  };
  expect_refused(models, 66, "--model " + models + "/a.gguf");
  expect_refused(d.path() / "texts", 66, "has no config.json, so it is no model directory: give");
  expect_refused("HuggingFaceTB/SmolLM2-135M", 66, "download it first");
  expect_refused(d.write("model.safetensors", "x"), 64, "is a part of a model: give a directory");
}

TEST(Program, TheSameCommandAgainDoesNotReadItsOwnTexts) {
  const testing::TemporaryDirectory d;
  d.write("texts/a.txt", "A text.");
  const std::string texts = d.path() / "texts";
  for (int i = 0; i < 2; ++i) {
    const ProgramResult run = run_tovamill({"summarize", "--model", "random:tiny", "--corpus",
                                            texts, "--out", texts + "/run", "--stream-jsonl",
                                            texts + "/summaries.jsonl", "--max-new-tokens", "2"});
    EXPECT_EQ(run.exit_code, 0) << run.err;
    EXPECT_NE(run.out.find("documents             1\n"), std::string::npos) << run.out;
  }
}

TEST(Program, OptionsOfOtherCommandsAreNamedAsSuch) {
  expect_error({"score", "--max-new-tokens", "5"}, 64,
               "--max-new-tokens is an option of other commands, not of tovamill score");
}

TEST(Program, BadUsageIs64InOneLine) {
  expect_error({"scor"}, 64, "unknown command 'scor'; did you mean score?");
  expect_error({"--frobnicate"}, 64, "unknown option '--frobnicate'");
  expect_error({"help", "nothing"}, 64, "unknown command 'nothing'");
  expect_error({"help", "score", "merge"}, 64, "help takes one command");
  expect_error({"score"}, 64, "--model is missing");
  expect_error({"score", "--cache"}, 64, "did you mean --cache-size?");
  expect_error({"merge"}, 64, "tovamill merge DIR");
  expect_error({"score", "--model", "a\nb", "--policy", "line\nbreak"}, 64,
               "--policy 'line break' is not known");
}

TEST(Program, ContradictionsAre78) {
  expect_error({"score", "--model", "m", "--corpus", "c", "--out", "o", "--sinks", "4"}, 78,
               "--sinks has no effect");
}

TEST(Program, MissingInputsAre66) {
  const testing::TemporaryDirectory directory;
  const std::string missing = (directory.path() / "missing.gguf").string();
  const std::string text = directory.write("a.txt", "A text.");
  const std::string out = (directory.path() / "run").string();
  expect_error({"score", "--model", missing, "--corpus", text, "--out", out}, 66, missing);
  expect_error({"tokenize", "--model", missing, "--corpus", text}, 66, missing);
  expect_error({"inspect", missing}, 66, missing);
  expect_error({"export", missing, "--format", "csv"}, 66, missing);
  expect_error({"score", "--config", missing}, 66, missing);
  EXPECT_FALSE(std::filesystem::exists(out));
}

TEST(Program, MergeOfSeveralRunsSaysWhatIsMissing) {
  const testing::TemporaryDirectory d;
  const std::string a = d.path() / "a", b = d.path() / "b", out = d.path() / "all";
  testing::write_journal(a, 0, 1, {testing::synthetic_document(1)}, true);
  testing::write_journal(b, 0, 1, {testing::synthetic_document(2)});
  expect_error({"merge", a, b}, 64, "several run directories need --out");
  const ProgramResult merged = run_tovamill({"merge", a, b, "--out", out});
  EXPECT_EQ(merged.exit_code, 0) << merged.err;
  EXPECT_NE(merged.out.find("2 documents"), std::string::npos) << merged.out;
  EXPECT_NE(merged.out.find(results_path(out)), std::string::npos) << merged.out;
  EXPECT_NE(merged.err.find("incomplete (complete=0)"), std::string::npos) << merged.err;
}

TEST(Program, InspectRefusesAFileOfNoKnownKind) {
  const testing::TemporaryDirectory directory;
  expect_error(
      {"inspect", directory.write("notes.txt", "These are notes, neither model nor results.")}, 65,
      "notes.txt");
  expect_error({"inspect", directory.write("model.gguf", "GGUF")}, 65, "model.gguf");
}

TEST(Program, TasksThatDoNotFindEachOtherAreRefused) {
  expect_error({"score", "--model", "m", "--corpus", "c", "--out", "o"}, 64, "MPI has a world of 1",
               {"OMPI_COMM_WORLD_SIZE=2", "OMPI_COMM_WORLD_RANK=0"});
}

TEST(Program, PrintConfigNeedsNothingElse) {
  const ProgramResult config = run_tovamill({"score", "--print-config", "--cache-size", "77"});
  EXPECT_EQ(config.exit_code, 0) << config.err;
  EXPECT_NE(config.out.find("\ncache-size = 77\n"), std::string::npos);
}

TEST(Program, FullStandardOutputIs74) {
  const ProgramResult result = run_tovamill({"--version"}, {}, "/dev/full");
  EXPECT_EQ(result.exit_code, 74);
  EXPECT_NE(result.err.find("standard output cannot be written"), std::string::npos);
}

TEST(Program, DoctorShowsCoresAndLauncher) {
  const ProgramResult result = run_tovamill({"doctor", "--no-measure"}, {"OMPI_COMM_WORLD_SIZE=2"});
  EXPECT_EQ(result.exit_code, 0) << result.err;
  for (const char* part : {"usable (", "OMPI_COMM_WORLD_SIZE=2", "mpirun, 2 tasks", "Open MPI ",
                           "--dtype auto", "CUDA"}) {
    EXPECT_NE(result.out.find(part), std::string::npos) << result.out;
  }
}

TEST(Program, DoctorWarnsOfALauncherThatCannotWork) {
  const ProgramResult result = run_tovamill(
      {"doctor", "--no-measure"}, {"SLURM_STEP_ID=0", "SLURM_PROCID=0", "SLURM_STEP_NUM_TASKS=3"});
  EXPECT_EQ(result.exit_code, 0) << result.err;
  EXPECT_NE(result.out.find("start with srun --mpi=pmix"), std::string::npos) << result.out;
}

TEST(Program, OfSeveralTasksOneSpeaks) {
  const std::vector<std::string> second{"OMPI_COMM_WORLD_SIZE=2", "OMPI_COMM_WORLD_RANK=1"};
  const std::vector<std::vector<std::string>> commands{
      {"--version"}, {"help"}, {"doctor", "--no-measure"}, {"score", "--print-config"}};
  for (const auto& command : commands) {
    const ProgramResult result = run_tovamill(command, second);
    EXPECT_EQ(result.exit_code, 0);
    EXPECT_EQ(result.out + result.err, "") << command.front();
  }
  const ProgramResult wrong = run_tovamill({"score", "--cache"}, second);
  EXPECT_EQ(wrong.exit_code, 64);
  EXPECT_EQ(wrong.out + wrong.err, "");
}

TEST(Program, AloneInAJobOfSeveralTasksIsNoted) {
  const ProgramResult result =
      run_tovamill({"score", "--model", "missing.gguf", "--corpus", "c", "--out", "o"},
                   {"SLURM_JOB_ID=7", "SLURM_NTASKS=4", "SLURM_PROCID=0"});
  EXPECT_EQ(result.err.find("tovamill: note: this Slurm job has 4 tasks"), 0u) << result.err;
}

}  // namespace
}  // namespace tovamill
