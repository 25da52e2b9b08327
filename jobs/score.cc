// tovamill score: perplexity and cache statistics of every document.
#include <unistd.h>

#include <iostream>

#include "jobs/commands.h"
#include "jobs/console.h"
#include "jobs/launcher.h"
#include "kernels/cpu_info.h"

namespace tovamill {
namespace {

int run(const Request& request) {
  RunOptions options = request.options;
  validate(options);
  const Environment environment = process_environment();
  const Launcher launcher = find_launcher(environment);
  check_single_process(launcher);
  if (options.threads == 0)
    options.threads = launcher.threads.value_or(cpu_info().n_cores_usable());
  options.slurm_job = environment("SLURM_JOB_ID").value_or("");
  Console console(options, std::cout, std::cerr, isatty(STDERR_FILENO) == 1);
  console.finished(run_score(options, console));
  return 0;
}

}  // namespace

Command score_command() {
  Command command;
  command.name = "score";
  command.synopsis = "--model M --corpus PATH... --out DIR [options]";
  command.summary = "perplexity and cache statistics of every document";
  command.introduction =
      "Reads every document of the corpus from its first token to its last through a model whose\n"
      "layers keep at most --cache-size tokens each, and writes perplexities and what the cache\n"
      "kept to DIR/results.h5. The state does not grow with the length of a document. Running the\n"
      "same command again continues a run that was stopped. Defaults stand in [brackets].\n";
  command.examples =
      "  tovamill score --model model.gguf --corpus novels/ --out run1\n"
      "  tovamill score --model Llama-2-7b-hf/ --corpus 'web/*.jsonl.zst' --text-key content \\\n"
      "      --policy window --sinks 4 --cache-size 1024 --out run2\n"
      "  tovamill score --config run2.ini --cache-size 256 --out run3\n";
  command.groups = {
      {"What is read, where results go", {"model", "corpus", "part", "out", "overwrite"}},
      corpus_group(),
      {"State",
       {"policy", "cache-size", "pin", "sinks", "recent", "ema", "positions", "clip-distance",
        "chunk-tokens"}},
      {"Scoring", {"bos", "parse-special", "token-nll", "trace-state"}},
      {"Machine", {"device", "dtype", "block", "streams", "memory-budget", "threads"}},
      {"Running", {"sync-seconds", "strict", "max-bad-fraction", "log-format", "progress-seconds"}},
  };
  command.run = run;
  return command;
}

}  // namespace tovamill
