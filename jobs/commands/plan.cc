// tovamill plan: what a run with these options would be, without running it.
#include <algorithm>
#include <iostream>
#include <iterator>

#include "jobs/command_line/launcher.h"
#include "jobs/commands/commands.h"
#include "jobs/commands/plan_text.h"
#include "kernels/cpu/cpu_info.h"
#include "kernels/types/error.h"
#include "workers/options/option_values.h"

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

// The options of the job that is planned.
RunOptions options_of(const Request& request) {
  RunOptions options = request.options;
  options.job_kind = job_named(request.extras.at("job"));
  if (options.job_kind == Job::score) {
    options.corpus.question_key = options.corpus.reference_key = "";
    return options;
  }
  if (options.job_kind == Job::summarize && options.generation.task == TaskChoice::automatic)
    options.generation.task = TaskChoice::summary;
  read_prompt_file(options.generation);
  return options;
}

// The groups of two commands, those of one title together.
std::vector<OptionGroup> united(std::vector<OptionGroup> groups,
                                const std::vector<OptionGroup>& others) {
  const auto has = [&](const std::string& name) {
    return std::any_of(groups.begin(), groups.end(), [&](const OptionGroup& g) {
      return std::find(g.names.begin(), g.names.end(), name) != g.names.end();
    });
  };
  for (const OptionGroup& other : others) {
    OptionGroup rest{other.title, {}};
    std::copy_if(other.names.begin(), other.names.end(), std::back_inserter(rest.names),
                 [&](const std::string& name) { return !has(name); });
    const auto same = std::find_if(groups.begin(), groups.end(),
                                   [&](const OptionGroup& g) { return g.title == other.title; });
    if (same != groups.end())
      same->names.insert(same->names.end(), rest.names.begin(), rest.names.end());
    else if (!rest.names.empty())
      groups.push_back(std::move(rest));
  }
  return groups;
}

int run_plan(const Request& request) {
  RunOptions options = options_of(request);
  if (options.out.empty()) options.out = ".";  // nothing is written; a run alone must have it
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

Subcommand plan_command() {
  Subcommand command = score_command();
  command.name = "plan";
  command.synopsis = "--model M --corpus PATH... [--job NAME] [--ranks N] [options]";
  command.summary = "what would run: documents, tokens, shards, memory, time";
  command.introduction =
      "Takes the options of `score`, `summarize` or `generate` (--job) and tells what that would\n"
      "be: documents, bytes and tokens of the corpus, texts that would be written, how it would "
      "be\n"
      "cut, the memory of a rank, and the time. Nothing is written.\n"
      "Texts are read at about 64 places, at most 2 MiB in all; what is not counted is estimated\n"
      "from them (\"about\"). The speed is measured with two layers of the model and its head, "
      "for\n"
      "a few seconds on this machine. Defaults stand in [brackets].\n";
  command.examples =
      "  tovamill plan --model model.gguf --corpus novels/\n"
      "  tovamill plan --model Llama-2-7b-hf/ --corpus 'web/*.jsonl' --ranks 64 --threads 16\n"
      "  tovamill plan --job summarize --model model.gguf --corpus reports/ --cache-size 1024\n"
      "  tovamill plan --config run2.ini --no-calibration --json\n";
  command.groups = united(summarize_command().groups, command.groups);
  command.defaults.corpus.question_key = summarize_command().defaults.corpus.question_key;
  command.extras = {
      {"job", "NAME", "score", "what is planned: score, summarize, generate"},
      {"ranks", "N", "0", "ranks that share the corpus; 0 is auto: the launcher's tasks, else 1"},
      {"no-calibration", "", "false", "measure nothing: no speed and no time"},
      {"json", "", "false", "print a JSON object"}};
  command.run = run_plan;
  return command;
}

}  // namespace tovamill
