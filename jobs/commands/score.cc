// tovamill score: perplexity and cache statistics of every document.
#include <unistd.h>

#include <iostream>

#include "jobs/command_line/console.h"
#include "jobs/command_line/run_process.h"
#include "jobs/commands/commands.h"
#include "workers/options/sweep.h"

namespace tovamill {
namespace {

int run_score(const Request& request) {
  RunOptions options = request.options;
  validate(options);
  RunProcess process(options);
  return process.run([&](RunLaunch& launch) {
    Console console(options, std::cout, std::cerr, isatty(STDERR_FILENO) == 1);
    if (is_sweep(options) && launch.channel->rank() == 0) {
      for (const std::string& note : sweep_of(options).notes) console.note(note);
    }
    if (const auto summary = run_corpus(options, launch, console)) console.finished(*summary);
  });
}

}  // namespace

Subcommand score_command() {
  Subcommand command;
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
      "  tovamill score --config run2.ini --cache-size 256 --out run3\n"
      "  tovamill score --model model.gguf --corpus novels/ --out run4 \\\n"
      "      --sweep 'policy=full,tova,tova-ema cache-size=128,256,512'\n";
  command.groups = {
      {"What is read, where results go",
       {"model", "corpus", "part", "out", "overwrite", "accept-appended"}},
      corpus_group(),
      {"State",
       {"policy", "cache-size", "pin", "sinks", "recent", "ema", "merge", "budgets", "positions",
        "clip-distance", "chunk-tokens", "seed", "sweep"}},
      {"Scoring",
       {"bos", "parse-special", "token-nll", "trace-state", "nll-by-position", "position-bin",
        "analyze", "lexicon"}},
      machine_group(),
      running_group(),
      ranks_group(),
  };
  command.is_run = true;
  command.run = run_score;
  return command;
}

}  // namespace tovamill
