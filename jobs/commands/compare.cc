// tovamill compare: finished runs against the first, document by document.
#include "pipeline/results/compare.h"

#include <filesystem>
#include <iostream>

#include "io/results/csv.h"
#include "jobs/command_line/sweep_table.h"
#include "jobs/commands/commands.h"
#include "kernels/types/error.h"
#include "kernels/types/format.h"

namespace tovamill {
namespace {

namespace fs = std::filesystem;

// "run1", "run1/results.h5", or one setting of a sweep as "run1:tova-512".
std::vector<ComparedRun> runs_of_operand(const std::string& operand) {
  const std::size_t colon = operand.rfind(':');
  if (fs::exists(operand) || colon == std::string::npos)
    return runs_of(operand, results_of_operand(operand));
  const std::string front = operand.substr(0, colon), setting = operand.substr(colon + 1);
  std::string known;
  for (const ComparedRun& run : runs_of(front, results_of_operand(front))) {
    if (run.setting == setting) return {run};
    if (!run.setting.empty()) known += (known.empty() ? "" : ", ") + run.setting;
  }
  throw Error(ExitCode::usage,
              operand + ": " + front +
                  (known.empty() ? " is of no sweep: leave the name behind the colon out"
                                 : " has the settings " + known));
}

std::string csv_of(const std::vector<Comparison>& comparisons) {
  std::string text =
      "run,first,metric,documents,only_first,only_here,other_counts,value,value_se,first_value,"
      "first_value_se,difference,difference_se,difference_macro,difference_macro_se,"
      "perplexity_ratio,perplexity_ratio_se\n";
  for (const Comparison& c : comparisons) {
    for (const ComparedValue& v : c.values) {
      text += csv_field(c.run.name) + "," + csv_field(comparisons.front().run.name) + "," +
              v.metric + "," + digits(v.paired.n_documents) + "," + digits(c.n_only_first) + "," +
              digits(c.n_only_here) + "," + digits(c.n_other_counts);
      for (const Estimate& e :
           {v.value, v.first, v.paired.nll_difference, v.paired.nll_difference_macro})
        text += "," + csv_field(e.value) + "," + csv_field(e.standard_error);
      const Estimate& ratio = v.paired.perplexity_ratio;
      text += v.metric.starts_with("nll_per_token")
                  ? "," + csv_field(ratio.value) + "," + csv_field(ratio.standard_error) + "\n"
                  : ",,\n";
    }
  }
  return text;
}

std::string scoring_table(const std::vector<Comparison>& comparisons) {
  std::vector<std::vector<std::string>> rows{{"run", "documents in both", "only in the first",
                                              "only here", "perplexity per token",
                                              "nats per token to the first", "ratio"}};
  for (const Comparison& c : comparisons) {
    const bool is_first = &c == &comparisons.front();
    const PairedSummary& p = c.values.front().paired;
    rows.push_back({c.run.name, with_thousands(c.n_documents), with_thousands(c.n_only_first),
                    with_thousands(c.n_only_here), perplexity_with_error(p.perplexity),
                    is_first ? "-" : signed_with_error(p.nll_difference),
                    is_first ? "-" : perplexity_with_error(p.perplexity_ratio)});
  }
  return aligned(rows);
}

// A line for each score of texts, or bin of positions.
std::string value_table(const std::vector<Comparison>& comparisons, const char* mean) {
  std::vector<std::vector<std::string>> rows{{"run", "value", "documents in both",
                                              "only in the first", "only here", mean,
                                              "difference to the first"}};
  for (const Comparison& c : comparisons) {
    for (const ComparedValue& v : c.values)
      rows.push_back(
          {c.run.name, v.metric, with_thousands(v.paired.n_documents),
           with_thousands(c.n_only_first), with_thousands(c.n_only_here),
           perplexity_with_error(v.value),
           &c == &comparisons.front() ? "-" : signed_with_error(v.paired.nll_difference)});
  }
  return aligned(rows);
}

int run_compare(const Request& request) {
  std::vector<ComparedRun> runs;
  for (const std::string& operand : request.operands) {
    for (ComparedRun& run : runs_of_operand(operand)) runs.push_back(std::move(run));
  }
  if (runs.size() < 2)
    throw Error(ExitCode::usage, "compare needs at least two runs, or one sweep");
  const bool by_position = request.flag("nll-by-position");
  const std::vector<Comparison> comparisons = compare_runs(runs, by_position);
  for (const Comparison& c : comparisons) {
    if (c.values.empty())
      throw Error(ExitCode::configuration,
                  "'" + c.run.name + "' and '" + comparisons.front().run.name +
                      "' have no scored text in common: see tovamill rescore");
  }
  if (request.flag("csv"))
    std::cout << csv_of(comparisons);
  else if (comparisons.front().values.front().metric == "nll_per_token")
    std::cout << scoring_table(comparisons);
  else
    std::cout << value_table(comparisons, by_position ? "mean of tokens, nats" : "mean of texts");
  for (const Comparison& c : comparisons) {
    if (c.n_other_counts > 0)
      std::cerr
          << "tovamill: " << c.run.name << ": " << counted(c.n_other_counts, "document")
          << " of other counts of tokens than in " << comparisons.front().run.name
          << " (--bos, --chunk-tokens, --parse-special, or another text of the same length)\n";
  }
  std::cout << std::flush;
  if (!std::cout) throw Error(ExitCode::io, "writing the comparison failed");
  return 0;
}

}  // namespace

Subcommand compare_command() {
  Subcommand command;
  command.name = "compare";
  command.synopsis = "DIR|results.h5|DIR:SETTING... [--nll-by-position] [--csv]";
  command.summary = "finished runs against the first, document by document";
  command.introduction =
      "Prints a line per run: how many documents it shares with the first (the same file, place "
      "and\n"
      "id), both perplexities over these, and the paired difference of the NLL per token with its\n"
      "standard error over documents. A sweep gives a line per setting; DIR:SETTING is one of "
      "them.\n"
      "Of summarize and generate the text scores are compared, where the runs have references.\n"
      "With --nll-by-position the NLL per token of each bin of positions (score "
      "--nll-by-position).\n";
  command.examples =
      "  tovamill compare full tova-256 tova-512\n"
      "  tovamill compare sweep:full sweep:tova-256 other --csv > differences.csv\n";
  command.extras = {{"nll-by-position", "", "false", "a line for each bin of positions"},
                    {"csv", "", "false", "as CSV, with all numbers in full"}};
  command.operand = "DIR|FILE";
  command.takes_many = true;
  command.run = run_compare;
  return command;
}

}  // namespace tovamill
