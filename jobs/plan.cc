// tovamill plan: what `score` with these options would run, without running it.
#include <iostream>

#include "jobs/commands.h"
#include "jobs/launcher.h"
#include "jobs/plan_text.h"
#include "kernels/cpu_info.h"
#include "kernels/error.h"
#include "workers/option_text.h"

namespace tovamill {
namespace {

constexpr std::int32_t kMostRanks = 1'000'000;

std::int32_t ranks_of(const Request& request, const Launcher& launcher) {
  std::int32_t n = 0;
  read_text("--ranks", request.extras.at("ranks"), n);
  if (n < 0 || n > kMostRanks)
    throw Error(ExitCode::configuration, "--ranks " + std::to_string(n) +
                                             " is out of range: give 1 to " +
                                             std::to_string(kMostRanks) + ", or 0 for auto");
  return n > 0 ? n : launcher.n_tasks;
}

int run(const Request& request) {
  RunOptions options = request.options;
  if (options.out.empty()) options.out = ".";  // nothing is written; `score` alone must have it
  validate(options);
  const Launcher launcher = find_launcher(process_environment());
  const std::int32_t automatic = launcher.threads.value_or(cpu_info().n_cores_usable());
  const RunPlan plan =
      plan_run(options, {.n_ranks = ranks_of(request, launcher),
                         .n_threads = options.threads > 0 ? options.threads : automatic,
                         .calibrates = !request.flag("no-calibration")});
  if (request.flag("json")) {
    std::cout << plan_json(plan).dump(2, ' ', false, nlohmann::json::error_handler_t::replace)
              << "\n";
  } else {
    std::cout << plan_text(plan);
  }
  return 0;
}

}  // namespace

Command plan_command() {
  Command command = score_command();
  command.name = "plan";
  command.synopsis = "--model M --corpus PATH... [--ranks N] [options]";
  command.summary = "what would run: documents, tokens, shards, memory, time";
  command.introduction =
      "Takes the options of `score` and tells what that would be: documents, bytes and tokens of\n"
      "the corpus, how it would be cut, the memory of a rank, and the time. Nothing is written.\n"
      "Texts are read at about 64 places, at most 2 MiB in all; what is not counted is estimated\n"
      "from them (\"about\"). The speed is measured with two layers of the model and its head, "
      "for\n"
      "a few seconds on this machine. Defaults stand in [brackets].\n";
  command.examples =
      "  tovamill plan --model model.gguf --corpus novels/\n"
      "  tovamill plan --model Llama-2-7b-hf/ --corpus 'web/*.jsonl' --ranks 64 --threads 16\n"
      "  tovamill plan --config run2.ini --no-calibration --json\n";
  command.extras = {
      {"ranks", "N", "0", "ranks that share the corpus; 0 is auto: the launcher's tasks, else 1"},
      {"no-calibration", "", "false", "measure nothing: no speed and no time"},
      {"json", "", "false", "print a JSON object"}};
  command.run = run;
  return command;
}

}  // namespace tovamill
