// tovamill merge: what the journals of a run hold so far, as results.h5.
#include <iostream>

#include "jobs/command_line/sweep_table.h"
#include "jobs/commands/commands.h"
#include "kernels/types/error.h"
#include "kernels/types/format.h"
#include "workers/run/corpus_run.h"

namespace tovamill {
namespace {

int run_merge(const Request& request) {
  const std::string& out = request.extras.at("out");
  if (request.operands.size() > 1 && out.empty())
    throw Error(ExitCode::usage,
                "several run directories need --out: give a directory for their results.h5 (see "
                "tovamill merge --help)");
  const RunSummary summary = merge_run(request.operands, out);
  std::cout << counted(summary.n_documents, "document") << " (" << with_thousands(summary.n_failed)
            << " failed), " << counted(summary.n_tokens, "token") << ", "
            << (!summary.settings.empty() ? counted(summary.settings.size(), "setting")
                : summary.generates
                    ? counted(summary.n_generations, "text")
                    : "perplexity per token " + perplexity_text(summary.perplexity_token))
            << ": " << summary.results_path << "\n";
  if (!summary.settings.empty()) std::cout << sweep_table(summary.settings);
  if (!summary.complete) {
    std::cerr << "tovamill: the results are incomplete (complete=0): "
              << (request.operands.size() > 1
                      ? "a run is unfinished, or a part is missing"
                      : "the run is unfinished; run it again to continue it")
              << "\n";
  }
  return 0;
}

}  // namespace

Subcommand merge_command() {
  Subcommand command;
  command.name = "merge";
  command.synopsis = "DIR... [--out DIR]";
  command.summary = "journals of run directories -> results.h5";
  command.introduction =
      "Writes DIR/results.h5 from the journals of a run, finished or not. `score` does this itself "
      "at\n"
      "its end; this is for a run that was stopped and shall be looked at before it goes on.\n"
      "Several runs of the same options over different corpora, or over the parts of one "
      "(--part),\n"
      "become one results.h5 in the directory --out.\n";
  command.examples =
      "  tovamill merge run1\n"
      "  tovamill merge part1 part2 part3 --out all\n";
  command.operand = "DIR";
  command.takes_many = true;
  command.extras = {{"out", "DIR", "", "directory for results.h5; the run's own where it is one"}};
  command.run = run_merge;
  return command;
}

}  // namespace tovamill
