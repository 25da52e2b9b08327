// tovamill export: results.h5 as CSV or JSON lines.
#include "pipeline/results/export.h"

#include <filesystem>
#include <iostream>

#include "io/files/output_file.h"
#include "jobs/commands/commands.h"
#include "kernels/types/error.h"
#include "pipeline/results/results_file.h"
#include "pipeline/run_directory/run_directory.h"

namespace tovamill {
namespace {

namespace fs = std::filesystem;

// What the run has read is no place for its results either.
InputFiles inputs_of(const std::string& results) {
  InputFiles inputs;
  inputs.add("the file of results", results);
  for (const std::string& file : corpus_files_of(results))
    inputs.add("a corpus file of the run", file);
  return inputs;
}

void export_to_file(const std::string& results, const ExportOptions& options,
                    const std::string& path) {
  std::error_code error;
  const InputFiles inputs = fs::exists(path, error) ? inputs_of(results) : InputFiles();
  OutputFile output(path, {.option = "--output",
                           .kind = "what tovamill export writes",
                           .is_ours = is_exported_file,
                           .inputs = &inputs});
  try {
    export_results(results, options, output.stream());
  } catch (const Error&) {
    output.check_written();  // which knows the system's reason
    throw;
  }
  output.commit();
}

int run_export(const Request& request) {
  ExportOptions options;
  options.format = export_format_named(request.extras.at("format"));
  options.tokens = request.flag("tokens");
  options.setting = request.extras.at("setting");
  const bool by_position = request.flag("nll-by-position"), by_class = request.flag("analysis");
  options.probe = request.flag("probe");
  if (int{by_position} + int{by_class} + int{options.tokens} + int{options.probe} > 1)
    throw Error(ExitCode::configuration,
                "--tokens, --nll-by-position, --analysis and --probe are tables of their own: give "
                "one");
  if (options.probe && options.format != ExportFormat::csv)
    throw Error(ExitCode::configuration, "--probe gives CSV: leave --format jsonl out");
  if (by_position) options.table = AnalysisTable::positions;
  if (by_class) options.table = AnalysisTable::classes;
  const std::string results = results_of_operand(request.operands.front());
  const std::string& output = request.extras.at("output");
  if (output.empty()) {
    InputFiles inputs;
    inputs.add("the file of results", results);
    inputs.refuse_standard_streams();
    export_results(results, options, std::cout);
  } else {
    export_to_file(results, options, output);
  }
  return 0;
}

}  // namespace

std::string results_of_operand(const std::string& operand) {
  if (!fs::exists(operand))
    throw Error(ExitCode::no_input,
                operand + " does not exist: give a run directory or its results.h5");
  if (!fs::is_directory(operand)) return operand;
  const std::string path = results_path(operand);
  if (fs::exists(path)) return path;
  throw Error(ExitCode::no_input, operand + " holds no results.h5: run tovamill merge " + operand +
                                      " if it is a run that was stopped");
}

Subcommand export_command() {
  Subcommand command;
  command.name = "export";
  command.synopsis =
      "DIR|results.h5 [--format csv|jsonl] [--tokens|--nll-by-position|--analysis|--probe] "
      "[--setting NAME] [--output FILE]";
  command.summary = "results as CSV or JSON lines, a document or text each";
  command.introduction =
      "Prints a row or an object per document: what it is, its counts, its perplexity per token "
      "and\n"
      "per word, its bits per byte, and why it failed if it did. With --tokens every token and "
      "its\n"
      "negative log-likelihood, if the run stored them (score --token-nll). With --nll-by-position "
      "or\n"
      "--analysis the table that score --nll-by-position or --analyze stored: a row per bin of\n"
      "positions, or per class of tokens and layer (layer -1: all of them).\n"
      "Of summarize and generate a row or an object per text, with its question, references and\n"
      "scores where there are any, and per failed document; with --tokens also the texts' ids.\n"
      "Of a sweep those of all its settings, named in a last column, or of the one of --setting.\n";
  command.examples =
      "  tovamill export run1 > documents.csv\n"
      "  tovamill export run1/results.h5 --format jsonl --tokens --output tokens.jsonl\n"
      "  tovamill export summaries --format jsonl > summaries.jsonl\n";
  command.extras = {
      {"format", "NAME", "csv", "csv, jsonl"},
      {"tokens", "", "false", "every token's NLL, or every text's ids, too"},
      {"nll-by-position", "", "false", "the NLL by position instead of documents"},
      {"analysis", "", "false", "lifetimes by class of token instead of documents"},
      {"probe", "", "false", "what the probes come to by task, length and depth, as CSV"},
      {"setting", "NAME", "", "of a sweep (score --sweep): only this setting"},
      {"output", "FILE", "", "write there instead of to standard output"}};
  command.operand = "DIR|FILE";
  command.run = run_export;
  return command;
}

}  // namespace tovamill
