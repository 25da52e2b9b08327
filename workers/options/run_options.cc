#include "workers/options/run_options.h"

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <fstream>
#include <string>
#include <string_view>

#include "kernels/types/error.h"
#include "workers/options/budgets.h"
#include "workers/options/option_values.h"
#include "workers/options/sweep.h"

namespace tovamill {
namespace {

void check_given(bool given, const std::string& option, const std::string& what) {
  if (!given) throw Error(ExitCode::usage, option + " is missing: give " + what);
}

void check_name(const std::string& option, const std::string& value) {
  const std::vector<std::string> names = names_of_option(option);
  if (std::find(names.begin(), names.end(), value) != names.end()) return;
  std::string known;
  for (const std::string& name : names) known += (known.empty() ? "" : ", ") + name;
  throw Error(ExitCode::usage,
              "--" + option + " '" + value + "' is not known: choose one of " + known);
}

void check_applies(bool applies, const std::string& option, const std::string& other,
                   const std::string& wanted) {
  if (!applies)
    throw Error(ExitCode::configuration, option + " has no effect with " + other + ": " + wanted);
}

// Reads the file, too: before any rank is started.
void check_budget_options(const RunOptions& o) {
  if (o.budgets == kNoBudgets) return;
  check_applies(traits_of(o.cache.policy).takes(kTakesMerge), "--budgets",
                "--policy " + text_of(o.cache.policy),
                "it belongs to --policy " + policies_taking(kTakesMerge));
  if (o.cache.positions == Positions::in_state) {
    throw Error(ExitCode::configuration,
                "--budgets goes with --positions clipped or absolute: in-state positions are the "
                "same in all layers, and the layers' states are not");
  }
  with_budgets(o);
}

// Where a run has several settings, each of them is looked at.
void check_cache(const RunOptions& o) {
  if (!is_sweep(o)) {
    validate(o.cache);
    check_policy_options(o.cache);
    check_budget_options(o);
    return;
  }
  if (o.stages > 1)
    throw Error(ExitCode::configuration,
                "--sweep and --stages do not go together: run each setting for itself, and "
                "tovamill compare");
  if (streams_results(o))
    throw Error(ExitCode::configuration,
                "--sweep and --stream-jsonl do not go together: a text has no setting there; run "
                "each setting for itself, or tovamill export at the end");
  sweep_of(o);
}

// What would leave out what is hidden, or what is asked.
void check_probe(const RunOptions& o) {
  validate_probe(o.probe);
  const auto refuse = [](bool ok, const std::string& what) {
    if (!ok) throw Error(ExitCode::configuration, what);
  };
  refuse(o.generation.task == TaskChoice::qa,
         "--task " + text_of(o.generation.task) +
             " asks no question of a probe: leave it out, or give --prompt");
  refuse(o.generation.max_document_tokens == 0,
         "--max-document-tokens would leave out what a probe has hidden: give --lengths");
  refuse(o.generation.prompt.empty() ||
             PromptTemplate::parse(o.generation.prompt, o.generation.prompt_file).has_question(),
         "--prompt " + o.generation.prompt_file +
             ": a probe asks a question: say with {question} where it stands");
}

void check_analysis(const RunOptions& o) {
  check_range(o.position_bin >= 0 && o.position_bin <= 1 << 30, "--position-bin",
              text_of(o.position_bin), "give 1 to 1073741824 tokens, or 0 for logarithmic bins");
  const auto belongs = [](bool is_given, bool has_other, const char* option, const char* other) {
    if (is_given && !has_other)
      throw Error(ExitCode::configuration, std::string(option) + " has no effect without " + other +
                                               ": give both, or neither");
  };
  belongs(o.position_bin != 0, o.nll_by_position, "--position-bin", "--nll-by-position");
  belongs(!o.lexicon.empty(), o.analyze, "--lexicon", "--analyze");
}

}  // namespace

std::string policy_help() {
  return "which token leaves a full state: " +
         policy_names([](const PolicyTraits&) { return true; });
}

std::string seed_help() {
  return "of the random numbers: those of sampling, of the texts of probe, and of --policy " +
         policy_names([](const PolicyTraits& p) { return p.draws; });
}

std::string help_of(PolicyOption option, std::string_view what) {
  return policies_taking(option) + ": " + std::string(what);
}

void check_policy_options(const CacheOptions& o) {
  const CacheOptions defaults;
  const PolicyTraits& policy = traits_of(o.policy);
  struct Given {
    bool is_given;
    const char* name;
    PolicyOption option, instead;  // what does the same for other policies
    const char* name_instead;
  };
  for (const Given& g :
       {Given{o.pin != defaults.pin, "--pin", kTakesPin, kTakesSinks, "--sinks"},
        Given{o.sinks != defaults.sinks, "--sinks", kTakesSinks, kTakesPin, "--pin"},
        Given{o.recent != defaults.recent, "--recent", kTakesRecent, kTakesNone, ""},
        Given{o.ema != defaults.ema, "--ema", kTakesEma, kTakesNone, ""},
        Given{o.merge != defaults.merge, "--merge", kTakesMerge, kTakesNone, ""}}) {
    const std::string wanted = "it belongs to --policy " + policies_taking(g.option);
    check_applies(!g.is_given || policy.takes(g.option), g.name, "--policy " + text_of(o.policy),
                  policy.takes(g.instead)
                      ? "give " + std::string(g.name_instead) + " instead; " + wanted
                      : wanted);
  }
  check_applies(o.clip_distance == defaults.clip_distance || o.positions == Positions::clipped,
                "--clip-distance", "--positions " + text_of(o.positions),
                "it belongs to --positions clipped");
}

bool has_effect(Effect effect, const RunOptions& options) {
  const bool generates = options.job_kind != Job::score;
  if (effect == Effect::random) return generates || traits_of(options.cache.policy).draws;
  if (effect == Effect::scoring) return !generates;
  if (effect == Effect::probing) return options.job_kind == Job::probe;
  return effect != Effect::generation || generates;
}

bool streams_results(const RunOptions& options) {
  return options.job_kind != Job::score && !options.generation.stream_jsonl.empty();
}

CorpusOptions corpus_of(const RunOptions& options) {
  CorpusOptions corpus = options.corpus;
  if (streams_results(options)) corpus.own_output = options.generation.stream_jsonl;
  return corpus;
}

CacheOptions cache_of(const RunOptions& options) {
  CacheOptions cache = with_budgets(options);
  if (options.job_kind != Job::score) cache.chunk_tokens = 0;
  return cache;
}

std::vector<std::string> names_of_option(std::string_view name) {
  if (name == "log-format") return {"text", "json"};
  if (name == "chat-template")
    return {"auto", "none", "chatml", "llama2", "llama3", "mistral", "qwen"};
  return {};
}

std::string read_lexicon_file(const std::string& path) {
  constexpr std::streamsize kMostBytes = 64 << 20;
  std::ifstream file(path, std::ios::binary | std::ios::ate);
  const std::streamsize n = file ? static_cast<std::streamsize>(file.tellg()) : 0;
  if (n > kMostBytes) throw BadData("--lexicon " + path + " is longer than 64 MiB");
  std::string text(static_cast<std::size_t>(std::max<std::streamsize>(n, 0)), '\0');
  file.seekg(0);
  file.read(text.data(), static_cast<std::streamsize>(text.size()));
  if (!file)
    throw Error(ExitCode::no_input,
                "--lexicon " + path + " cannot be read: " + std::strerror(errno));
  return text;
}

void validate(const RunOptions& o) {
  check_given(!o.model.empty(), "--model", "a Hugging Face model directory or a .gguf file");
  check_given(!o.corpus.paths.empty(), "--corpus",
              "files, directories or globs of .txt, .jsonl and .ndjson");
  check_given(!o.out.empty(), "--out",
              "a directory for the results; it is made if it does not exist");
  check_name("log-format", o.log_format);
  check_given(!o.corpus.text_key.empty(), "--text-key",
              "the name of the JSON key that holds a record's text");
  check_range(o.corpus.max_record_bytes >= 1, "--max-record-bytes",
              text_of(o.corpus.max_record_bytes), "give at least 1 byte");
  check_range(o.part.index >= 1 && o.part.index <= o.part.n, "--part", text_of(o.part),
              "give I/N with I from 1 to N");
  check_range(o.block >= 0 && o.block <= 4096, "--block", text_of(o.block),
              "give 1 to 4096 tokens, or 0 for auto");
  check_range(o.streams >= 0 && o.streams <= 65536, "--streams", text_of(o.streams),
              "give 1 to 65536 documents, or 0 for auto");
  check_range(o.ranks_per_gpu >= 1 && o.ranks_per_gpu <= 64, "--ranks-per-gpu",
              text_of(o.ranks_per_gpu), "give 1 to 64 ranks");
  check_range(o.threads >= 0 && o.threads <= 4096, "--threads", text_of(o.threads),
              "give 1 to 4096 threads, or 0 for auto");
  check_range(o.stages >= 1 && o.stages <= 4096, "--stages", text_of(o.stages),
              "give 1 to 4096, and as many ranks or a multiple");
  check_range(o.progress_seconds >= 0.0 && o.progress_seconds <= 86400.0, "--progress-seconds",
              text_of(o.progress_seconds), "give 0 to 86400 seconds");
  check_range(o.sync_seconds > 0.0 && o.sync_seconds <= 86400.0, "--sync-seconds",
              text_of(o.sync_seconds), "give more than 0 and at most 86400 seconds");
  check_range(o.save_every >= 0.0, "--save-every", text_of(o.save_every),
              "give seconds, or 0 for never");
  check_range(o.silence_seconds >= 3.0 && o.silence_seconds <= 86400.0, "--silence-seconds",
              text_of(o.silence_seconds), "give 3 to 86400 seconds");
  check_range(o.max_bad_fraction >= 0.0 && o.max_bad_fraction <= 1.0, "--max-bad-fraction",
              text_of(o.max_bad_fraction), "give a fraction between 0 and 1");
  if (o.accept_appended && (o.part.n > 1 || o.skip > 0 || o.limit > 0))
    throw Error(ExitCode::configuration,
                "--accept-appended and --part, --skip or --limit do not go together: which records "
                "these choose depends on what the corpus holds");
  check_analysis(o);
  check_cache(o);
  if (o.job_kind == Job::probe) check_probe(o);
  if (o.job_kind != Job::score && !is_sweep(o)) validate_generation(o);
}

}  // namespace tovamill
