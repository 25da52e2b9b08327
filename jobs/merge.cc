// tovamill merge: what the journals of a run hold so far, as results.h5.
#include <iostream>

#include "jobs/commands.h"
#include "jobs/format.h"
#include "workers/score_run.h"

namespace tovamill {
namespace {

int run(const Request& request) {
  const RunSummary summary = merge_run(request.operands.front());
  std::cout << counted(summary.n_documents, "document") << " (" << with_thousands(summary.n_failed)
            << " failed), " << counted(summary.n_tokens, "token") << ", perplexity per token "
            << fixed_point(summary.perplexity_token, 4) << ": " << summary.results_path << "\n";
  return 0;
}

}  // namespace

Command merge_command() {
  Command command;
  command.name = "merge";
  command.synopsis = "DIR";
  command.summary = "journals of a run directory -> results.h5";
  command.introduction =
      "Writes DIR/results.h5 from the journals of a run, finished or not. `score` does this itself "
      "at\n"
      "its end; this is for a run that was stopped and shall be looked at before it goes on.\n";
  command.examples = "  tovamill merge run1\n";
  command.operand = "DIR";
  command.run = run;
  return command;
}

}  // namespace tovamill
