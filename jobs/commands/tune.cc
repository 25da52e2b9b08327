// tovamill tune: budgets of a model's layers, measured on a corpus.
#include <unistd.h>

#include <iostream>
#include <sstream>

#include "io/files/output_file.h"
#include "jobs/command_line/launcher.h"
#include "jobs/commands/commands.h"
#include "kernels/cpu/cpu_info.h"
#include "kernels/types/error.h"
#include "kernels/types/format.h"
#include "workers/options/option_values.h"
#include "workers/plan/tune_budgets.h"

namespace tovamill {
namespace {

bool is_budget_file(const std::string& path) {
  try {
    read_budgets(path);
    return true;
  } catch (const Error&) {
    return false;
  }
}

std::vector<std::int32_t> sizes_of(const std::string& text) {
  std::vector<std::int32_t> sizes;
  std::istringstream words(text + ",");
  for (std::string word; std::getline(words, word, ',');)
    read_text("--sizes", word, sizes.emplace_back());
  return sizes;
}

// What the budgets come to at the cache size that was asked for.
void print_sizes(std::ostream& out, const Tuning& tuning, const CacheOptions& cache,
                 const std::string& output) {
  const std::vector<std::int32_t> sizes = allocate(tuning.table, cache);
  out << counted(tuning.n_texts, "text") << ", "
      << counted(static_cast<std::uint64_t>(tuning.n_tokens), "token") << " counted\n"
      << "places of the layers at --cache-size " << cache.cache_size << ":";
  for (const std::int32_t size : sizes) out << " " << size;
  out << "\n"
      << output << ": use it as --budgets " << output << " --policy " << text_of(cache.policy);
  if (cache.merge > 0) out << " --merge " << cache.merge;
  out << "\n";
}

int run_tune(const Request& request) {
  RunOptions options = request.options;
  if (options.out.empty()) options.out = ".";  // nothing is written there
  validate(options);
  const std::string& output = request.extras.at("output");
  TuneSetting setting;
  read_text("--texts", request.extras.at("texts"), setting.n_texts);
  read_text("--tokens", request.extras.at("tokens"), setting.n_tokens);
  setting.sizes = sizes_of(request.extras.at("sizes"));
  const Launcher launcher = find_launcher(process_environment());
  const std::int32_t automatic = launcher.threads.value_or(cpu_info().n_cores_usable());
  setting.n_threads = options.threads > 0 ? options.threads : automatic;
  const bool shows = isatty(STDERR_FILENO) == 1;
  setting.tell = [&](std::int64_t n_done, std::int64_t n_all) {
    if (shows)
      std::cerr << "\r" << with_thousands(static_cast<std::uint64_t>(n_done)) << " of "
                << with_thousands(static_cast<std::uint64_t>(n_all)) << " tokens" << std::flush;
  };
  InputFiles inputs;
  inputs.add("the model", options.model);
  for (const CorpusFile& file : list_corpus(options.corpus))
    inputs.add("the corpus file", file.path);
  OutputFile file(output, {.option = "--output",
                           .kind = "a file of tovamill tune",
                           .is_ours = is_budget_file,
                           .inputs = &inputs});
  const Tuning tuning = tune_budgets(options, setting);
  if (shows) std::cerr << "\n";
  file.stream() << json_of(tuning.table).dump(1) << "\n";
  file.commit();
  print_sizes(std::cout, tuning, options.cache, output);
  return 0;
}

}  // namespace

Subcommand tune_command() {
  Subcommand command;
  command.name = "tune";
  command.synopsis = "--model M --corpus PATH... [--output FILE] [options]";
  command.summary = "how the layers of a model share their states' places best";
  command.introduction =
      "Reads a few documents with whole states and measures, in each layer for itself, what "
      "bounded\n"
      "ones of several sizes change of what its attention gives. `score`, `summarize` and "
      "`generate`\n"
      "read the file that it writes (--budgets): of a total of --cache-size places a layer, those\n"
      "that lose least get few and others more, whatever the cache size. Take texts like those of\n"
      "the corpus, and the policy and --merge of the runs. Some minutes for a small model.\n";
  command.examples =
      "  tovamill tune --model model.gguf --corpus novels/ --output budgets.json\n"
      "  tovamill score --model model.gguf --corpus novels/ --out run1 --policy tova-ema \\\n"
      "      --merge 16 --cache-size 256 --budgets budgets.json\n";
  command.groups = {
      {"What is read", {"model", "corpus"}},
      corpus_group(),
      {"State", {"policy", "cache-size", "pin", "ema", "merge", "positions", "clip-distance"}},
      {"Tokens", {"bos", "parse-special"}},
      {"Machine", {"device", "dtype", "threads"}}};
  command.extras = {
      {"output", "FILE", "budgets.json", "the file that is written"},
      {"texts", "N", "4", "documents that are read, the first that are long enough"},
      {"tokens", "N", "3072", "of each at most, half of that at least; the last two thirds count"},
      {"sizes", "N,...", "32,64,128,192,256,384,512,768",
       "state sizes that are measured (tokens)"}};
  command.defaults.cache.policy = Policy::tova_ema;
  command.defaults.cache.merge = 16;
  command.defaults.cache.cache_size = 256;
  command.run = run_tune;
  return command;
}

}  // namespace tovamill
