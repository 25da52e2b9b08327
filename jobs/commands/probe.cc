// tovamill probe: what a state still finds in a long text.
#include <unistd.h>

#include <iostream>
#include <nlohmann/json.hpp>

#include "io/results/hdf5_file.h"
#include "jobs/command_line/console.h"
#include "jobs/command_line/probe_table.h"
#include "jobs/command_line/run_process.h"
#include "jobs/commands/commands.h"
#include "kernels/types/error.h"
#include "pipeline/results/results_file.h"
#include "workers/options/sweep.h"
#include "workers/run/corpus_run.h"
#include "workers/run/probe_run.h"

namespace tovamill {
namespace {

constexpr double kLockWaitSeconds = 15.0;  // for ranks of a launch that died

std::vector<ProbeSetting> settings_of(const std::string& results) {
  const Hdf5File file(results, Hdf5File::Mode::read);
  std::vector<std::string> names = settings_of_results(file);
  if (names.empty()) names = {""};
  std::vector<ProbeSetting> settings;
  for (const std::string& name : names) settings.push_back(read_probe_setting(file, name));
  return settings;
}

void print_probe(const RunOptions& options, const std::string& results) {
  const std::vector<ProbeSetting> settings = settings_of(results);
  if (options.log_format != "json") {
    std::cout << "\n" << probe_table(settings) << std::flush;
    return;
  }
  nlohmann::ordered_json cells = nlohmann::ordered_json::array();
  for (const ProbeSetting& s : settings) {
    for (const ProbeCell& c : s.cells) {
      nlohmann::ordered_json cell{
          {"setting", s.name}, {"task", name_of(c.task)}, {"length", c.length}, {"depth", nullptr},
          {"n", c.n},          {"n_right", c.n_right},    {"found", c.found()}};
      if (c.depth) cell["depth"] = *c.depth;
      cells.push_back(std::move(cell));
    }
  }
  std::cout << nlohmann::ordered_json{{"event", "probe"}, {"cells", cells}}.dump() << std::endl;
}

int run_probe(const Request& request) {
  RunOptions options = request.options;
  read_prompt_file(options.generation);
  name_probe_corpus(options);
  const std::string& to_write = request.extras.at("write-corpus");
  if (!to_write.empty() && options.out.empty()) options.out = ".";  // nothing is written there
  validate(options);
  if (!to_write.empty()) {
    if (may_print(find_launcher(process_environment()))) write_probe_corpus(options, to_write);
    return 0;
  }
  RunProcess process(options, [&] { make_probe_corpus(options, kLockWaitSeconds); });
  return process.run([&](RunLaunch& launch) {
    Console console(options, std::cout, std::cerr, isatty(STDERR_FILENO) == 1);
    if (is_sweep(options) && launch.channel->rank() == 0) {
      for (const std::string& note : sweep_of(options).notes) console.note(note);
    }
    const auto summary = run_corpus(options, launch, console);
    if (!summary) return;
    console.finished(*summary);
    print_probe(options, summary->results_path);
  });
}

}  // namespace

Subcommand probe_command() {
  Subcommand command;
  command.name = "probe";
  command.synopsis = "--model M --out DIR [options]";
  command.summary = "what the state still finds in texts of any length";
  command.introduction =
      "Makes texts of given lengths with something hidden at given depths (a pass key, needles "
      "with\n"
      "several names, a chain of variables, a list with common words: the kinds of RULER), asks "
      "for\n"
      "it, and counts the right answers, by task, length, depth and setting of the state. Texts,\n"
      "answers and counts stand in DIR; running the same command again continues a run that was\n"
      "stopped. Defaults stand in [brackets].\n";
  command.examples =
      "  tovamill probe --model model.gguf --out probe1 --lengths 1024,4096,16K \\\n"
      "      --sweep 'policy=full,tova cache-size=256,512 instruction=after,before,pinned'\n"
      "  tovamill probe --model model.gguf --tasks passkey --n 50 --haystack novel.txt --out "
      "probe2\n"
      "  tovamill export probe1 --probe > accuracy.csv\n"
      "  tovamill probe --model model.gguf --lengths 64K --write-corpus probe.jsonl\n";
  command.groups = {
      {"Model, where results go", {"model", "out", "overwrite"}},
      {"Probe", {"tasks", "lengths", "depths", "n", "needles", "hops", "haystack", "seed"}},
      {"Prompt",
       {"instruction", "pin-instruction", "prompt", "chat-template", "system", "prompt-date",
        "bos"}},
      {"Text",
       {"max-new-tokens", "min-new-tokens", "stop", "samples", "temperature", "top-k", "top-p",
        "min-p", "repetition-penalty"}},
      {"State",
       {"policy", "cache-size", "pin", "sinks", "recent", "ema", "positions", "clip-distance",
        "prefill", "sweep"}},
      machine_group(),
      running_group(),
      ranks_group(),
  };
  command.extras = {{"write-corpus", "FILE", "",
                     "write the texts there, and stop: a corpus for tovamill generate"}};
  command.defaults.job_kind = Job::probe;
  command.defaults.corpus.question_key = "question";
  command.defaults.corpus.reference_key = "reference";
  command.defaults.generation.task = TaskChoice::qa;
  command.defaults.generation.instruction = InstructionChoice::after;
  command.defaults.generation.max_new_tokens = 64;
  command.is_run = true;
  command.run = run_probe;
  return command;
}

}  // namespace tovamill
