// tovamill export: results.h5 as CSV or JSON lines.
#include "pipeline/results/export.h"

#include <cerrno>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <iostream>

#include "io/files/durable.h"
#include "jobs/commands/commands.h"
#include "kernels/types/error.h"
#include "pipeline/run_directory/run_directory.h"

namespace tovamill {
namespace {

namespace fs = std::filesystem;

// The file is whole or absent.
void export_to_file(const std::string& results, const ExportOptions& options,
                    const std::string& path) {
  const std::string temporary = path + ".tmp";
  std::ofstream file(temporary, std::ios::binary | std::ios::trunc);
  if (!file) {
    throw Error(ExitCode::cannot_create,
                "--output " + path + " cannot be created: " + std::strerror(errno));
  }
  try {
    export_results(results, options, file);
    file.close();
    if (!file) throw Error(ExitCode::io, path + " cannot be written: " + std::strerror(errno));
    rename_durably(temporary, path);
  } catch (...) {
    std::error_code ignored;
    fs::remove(temporary, ignored);
    throw;
  }
}

int run_export(const Request& request) {
  ExportOptions options;
  options.format = export_format_named(request.extras.at("format"));
  options.tokens = request.flag("tokens");
  const std::string results = results_of_operand(request.operands.front());
  const std::string& output = request.extras.at("output");
  if (output.empty()) {
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
  command.synopsis = "DIR|results.h5 [--format csv|jsonl] [--tokens] [--output FILE]";
  command.summary = "results as CSV or JSON lines, a document or text each";
  command.introduction =
      "Prints a row or an object per document: what it is, its counts, its perplexity per token "
      "and\n"
      "per word, its bits per byte, and why it failed if it did. With --tokens every token and "
      "its\n"
      "negative log-likelihood, if the run stored them (score --token-nll).\n"
      "Of summarize and generate a row or an object per text, with its question, references and\n"
      "scores where there are any, and per failed document; with --tokens also the texts' ids.\n";
  command.examples =
      "  tovamill export run1 > documents.csv\n"
      "  tovamill export run1/results.h5 --format jsonl --tokens --output tokens.jsonl\n"
      "  tovamill export summaries --format jsonl > summaries.jsonl\n";
  command.extras = {{"format", "NAME", "csv", "csv, jsonl"},
                    {"tokens", "", "false", "every token's NLL, or every text's ids, too"},
                    {"output", "FILE", "", "write there instead of to standard output"}};
  command.operand = "DIR|FILE";
  command.run = run_export;
  return command;
}

}  // namespace tovamill
