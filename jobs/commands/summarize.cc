// tovamill summarize: a summary of every document. tovamill generate: an answer or a continuation.
#include <unistd.h>

#include <iostream>

#include "jobs/command_line/console.h"
#include "jobs/command_line/run_process.h"
#include "jobs/commands/commands.h"
#include "workers/options/sweep.h"
#include "workers/run/corpus_run.h"

namespace tovamill {
namespace {

int run_texts(const Request& request) {
  RunOptions options = request.options;
  read_prompt_file(options.generation);
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

// What both commands take.
std::vector<OptionGroup> groups() {
  OptionGroup corpus = corpus_group();
  corpus.names.insert(corpus.names.end(), {"question-key", "reference-key"});
  return {
      {"What is read, where results go",
       {"model", "corpus", "part", "out", "overwrite", "accept-appended", "stream-jsonl"}},
      corpus,
      {"Prompt",
       {"task", "prompt", "instruction", "pin-instruction", "chat-template", "system",
        "prompt-date", "bos", "max-document-tokens", "truncate", "strategy", "chunk-tokens"}},
      {"Text",
       {"max-new-tokens", "min-new-tokens", "stop", "samples", "temperature", "top-k", "top-p",
        "min-p", "repetition-penalty", "seed", "stem"}},
      {"State",
       {"policy", "cache-size", "pin", "sinks", "recent", "ema", "merge", "budgets", "positions",
        "clip-distance", "prefill", "sweep"}},
      machine_group(),
      running_group(),
      ranks_group(),
  };
}

}  // namespace

Subcommand summarize_command() {
  Subcommand command;
  command.name = "summarize";
  command.synopsis = "--model M --corpus PATH... --out DIR [options]";
  command.summary = "a summary of every document, however long";
  command.introduction =
      "Reads every document through a model whose layers keep at most --cache-size tokens each,\n"
      "then writes a summary from what the state has kept: a book takes no more memory than a "
      "page.\n"
      "Many documents are read and written side by side. Texts stand in DIR/results.h5; `tovamill\n"
      "export` gives them as JSON lines. Records with a question get a summary for it; with\n"
      "--reference-key answers are compared with references (ROUGE, F1). Running the same command\n"
      "again continues a run that was stopped. Defaults stand in [brackets].\n";
  command.examples =
      "  tovamill summarize --model model.gguf --corpus reports/ --out run1\n"
      "  tovamill export run1/results.h5 --format jsonl\n"
      "  tovamill summarize --model Qwen3-4B/ --corpus meetings.jsonl --reference-key summary \\\n"
      "      --cache-size 1024 --max-new-tokens 128 --out run2\n"
      "  tovamill summarize --model model.gguf --corpus meetings.jsonl --reference-key summary \\\n"
      "      --sweep 'policy=full,tova cache-size=256,512' --out run3\n";
  command.groups = groups();
  command.defaults.job_kind = Job::summarize;
  command.defaults.corpus.question_key = "question";
  command.defaults.generation.task = TaskChoice::summary;
  command.is_run = true;
  command.run = run_texts;
  return command;
}

Subcommand generate_command() {
  Subcommand command = summarize_command();
  command.name = "generate";
  command.summary = "an answer to each record's question, or a continuation";
  command.introduction =
      "Reads every document through a model whose layers keep at most --cache-size tokens each,\n"
      "then writes: an answer to each of the record's questions, or, where it has none, how the "
      "text\n"
      "may go on. A record's questions are a string or a list; the document is read once for all "
      "of\n"
      "them. Texts stand in DIR/results.h5; `tovamill export` gives them as JSON lines. Running "
      "the\n"
      "same command again continues a run that was stopped. Defaults stand in [brackets].\n";
  command.examples =
      "  tovamill generate --model model.gguf --corpus questions.jsonl --out run1\n"
      "  tovamill generate --model model.gguf --corpus stories/ --task continue --samples 4 \\\n"
      "      --temperature 0.8 --top-p 0.95 --out run2\n"
      "  tovamill generate --model model.gguf --corpus mail.jsonl --prompt reply.txt --out run3\n";
  command.defaults.job_kind = Job::generate;
  command.defaults.generation.task = TaskChoice::automatic;
  return command;
}

}  // namespace tovamill
