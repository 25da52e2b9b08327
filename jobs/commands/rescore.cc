// tovamill rescore: ROUGE, F1 and exact match of results.h5 again, without the model.
#include <iostream>

#include "jobs/command_line/console.h"
#include "jobs/commands/commands.h"
#include "kernels/types/format.h"
#include "workers/run/rescore_run.h"

namespace tovamill {
namespace {

int run_rescore(const Request& request) {
  RescoreOptions options;
  options.results = results_of_operand(request.operands.front());
  options.out = request.extras.at("out");
  options.stems = request.flag("stem");
  options.references = request.extras.at("references");
  options.id_key = request.extras.at("id-key");
  options.reference_key = request.extras.at("reference-key");
  const Rescored rescored = rescore(options);
  if (rescored.n_unmatched > 0)
    std::cerr << "tovamill: note: " << counted(rescored.n_unmatched, "document")
              << " with texts not in --references " << options.references
              << ": their texts have no scores now\n";
  print_texts(rescored.summary, std::cout);
  return 0;
}

}  // namespace

Subcommand rescore_command() {
  Subcommand command;
  command.name = "rescore";
  command.synopsis = "DIR|results.h5 [--stem] [--references FILE.jsonl] [--out FILE]";
  command.summary = "ROUGE, F1 and exact match of texts again, without the model";
  command.introduction =
      "Compares the texts of a finished run of summarize or generate with their references again:\n"
      "with or without stemming, or with other references. Neither model nor corpus is needed. "
      "The\n"
      "scores in results.h5 are replaced (a new file takes the place of the old one), or a new "
      "file\n"
      "is written with --out; all else in it stays. Merging the run again brings the first scores\n"
      "back. A record of --references has the id of a document and its references: a string, a "
      "list\n"
      "of strings, or, for a document of several questions, a list of one or the other for each.\n"
      "Documents that it does not name are left without scores.\n";
  command.examples =
      "  tovamill rescore run1 --stem\n"
      "  tovamill rescore run1/results.h5 --references answers.jsonl --reference-key answers \\\n"
      "      --out compared.h5\n";
  command.extras = {
      {"stem", "", "false", "compare stems of words in ROUGE"},
      {"references", "FILE", "", "other references: a .jsonl file, also .gz, .zst, .xz and .bz2"},
      {"id-key", "KEY", "id", "JSON key of a document's id in --references"},
      {"reference-key", "KEY", "reference", "JSON key of its references there"},
      {"out", "FILE", "", "write there and leave the old file as it is"}};
  command.operand = "DIR|FILE";
  command.run = run_rescore;
  return command;
}

}  // namespace tovamill
