// Everything a user can ask of a run. One list of fields (`visit_fields`) serves the command line,
// the INI file, the fingerprint, `--print-config` and the attributes of results.h5.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "io/corpus/corpus.h"
#include "kernels/types/cache_options.h"
#include "kernels/types/compute_type.h"
#include "kernels/types/device_kind.h"
#include "pipeline/distributed/selection.h"
#include "workers/options/generation_options.h"
#include "workers/options/probe_options.h"

namespace tovamill {

enum class BosMode : std::uint8_t { automatic, always, never };

struct RunOptions {
  std::string model;                 // Hugging Face directory, .gguf file or random:NAME
  std::string out;                   // run directory
  std::optional<DeviceKind> device;  // none is auto: a run chooses before it begins
  std::optional<ComputeType> dtype;  // none is auto
  CorpusOptions corpus;
  CacheOptions cache;
  std::string budgets = "none";  // file of `tovamill tune` (budgets.h)
  std::string sweep;             // several settings side by side (sweep.h); empty: none
  BosMode bos = BosMode::automatic;
  bool parse_special = false;       // control tokens in the text of documents are recognised
  std::int32_t block = 0;           // tokens of one stream in a step; 0 is auto (256)
  std::int32_t streams = 0;         // documents side by side; 0 is auto: what fits the memory
  std::uint64_t memory_budget = 0;  // bytes of states and workspace; 0 is auto
  std::int32_t threads = 0;         // 0 is auto
  std::int32_t ranks_per_gpu = 1;
  std::uint64_t limit = 0;  // records read at most; 0 is all
  std::uint64_t skip = 0;   // records passed over first
  Part part;                // of the corpus; limit and skip count within it
  bool token_nll = false;
  bool trace_state = false;  // implies token_nll's offsets and ids
  bool nll_by_position = false;
  std::int32_t position_bin = 0;  // tokens of a bin; 0: log bins (PositionBins)
  bool analyze = false;           // lifetimes by class of token
  std::string lexicon;            // file of words and their tags, for analyze
  double sync_seconds = 5.0;
  bool strict = false;                 // any bad record ends the run with 65
  double max_bad_fraction = 1.0;       // more bad records than this fraction: exit 65 at the end
  double save_every = 0.0;             // seconds between saves of a document in flight; 0 is never
  double silence_seconds = 20.0;       // a rank that is not heard of for so long is given up
  std::int32_t stages = 1;             // ranks that share the layers of a model
  bool dedicated_coordinator = false;  // rank 0 only coordinates
  bool broadcast_weights = false;      // hosts without the model get its files from rank 0
  bool accept_appended = false;        // continue though the corpus has grown
  bool overwrite = false;              // delete what --out holds and start afresh
  std::string log_format = "text";     // text, json
  double progress_seconds = 30.0;      // between progress lines in a log
  GenerationOptions generation;        // of all jobs but `score`
  ProbeOptions probe;                  // of `probe`
  // Not options, but what the caller knows of the launch, for the attributes of results.h5.
  Job job_kind = Job::score;
  std::string command;    // the command line
  std::string slurm_job;  // SLURM_JOB_ID; empty outside Slurm
  // Documents or texts that the corpus can have in flight at most; 0: not known.
  std::int32_t useful_streams = 0;
  // What all starts and restarts of one job have in common, and whether this is a restart: then
  // --overwrite may have been obeyed already.
  std::string job;
  bool is_restart = false;
  std::vector<std::string> config_files;  // that options were read from
};

// What a field does to the numbers of a document.
enum class Effect : std::uint8_t {
  results,      // changes them: part of the fingerprint
  generation,   // changes those of all jobs that write texts, and of no other
  probing,      // changes what `probe` reads
  scoring,      // changes those of `score`, and of no other
  random,       // the same, and those of `score` where the policy draws random numbers
  convenience,  // does not: how fast, where, how much is shown
};

// "which token leaves a full state: tova, ...", and what an option of some policies is for, behind
// their names.
std::string policy_help();
std::string seed_help();
std::string help_of(PolicyOption option, std::string_view what);

namespace fields {

// The model and the corpus.
template <class Options, class Visit>
void visit_corpus_fields(Options& o, Visit&& visit) {
  using enum Effect;
  visit(
      "model", o.model, results,
      "Hugging Face model directory or .gguf file; or random:NAME, random weights of the shape of "
      "llama-7b, llama-13b, llama-70b, llama-3-8b, mistral-7b, qwen2-7b, smollm2-135m or tiny, "
      "made in memory for benchmarks and trials");
  visit("corpus", o.corpus.paths, results,
        "files, directories or globs of .txt, .jsonl and .ndjson, also .gz, .zst, .xz and .bz2");
  visit("out", o.out, convenience, "run directory: journals, status, results.h5");
  visit("glob", o.corpus.glob, results,
        "only corpus files whose name matches, for instance '*.txt'");
  visit("text-key", o.corpus.text_key, results, "JSON key of a record's text");
  visit("id-key", o.corpus.id_key, results, "JSON key of a record's identifier");
  visit("max-record-bytes", o.corpus.max_record_bytes, results,
        "a longer record is a failure (bytes)");
  visit("limit", o.limit, results, "read at most so many records; 0 is all");
  visit("skip", o.skip, results, "pass over so many records first");
  visit("part", o.part, results,
        "work on one of N equal parts of the corpus (by bytes), as 3/16: for job arrays");
}

// The state of a document, and what is stored of it.
template <class Options, class Visit>
void visit_state_fields(Options& o, Visit&& visit) {
  using enum Effect;
  visit("policy", o.cache.policy, results, policy_help().c_str());
  visit("cache-size", o.cache.cache_size, results, "tokens that each layer keeps at most (k)");
  visit("pin", o.cache.pin, results,
        help_of(kTakesPin, "the first so many tokens never leave").c_str());
  visit("sinks", o.cache.sinks, results,
        help_of(kTakesSinks, "the first so many tokens never leave").c_str());
  visit("recent", o.cache.recent, results,
        help_of(kTakesRecent, "the newest so many tokens are protected; -1 is half the cache")
            .c_str());
  visit("ema", o.cache.ema, results,
        help_of(kTakesEma, "decay of the moving average of the attention").c_str());
  visit("merge", o.cache.merge, results,
        help_of(kTakesMerge,
                "so many of the k places hold merged tokens, which stand for those that left")
            .c_str());
  visit("budgets", o.budgets, results,
        help_of(kTakesMerge, "layers share their places as this file of tovamill tune says; none")
            .c_str());
  visit("positions", o.cache.positions, results, "rotary positions: clipped, absolute, in-state");
  visit("clip-distance", o.cache.clip_distance, results,
        "clipped: greatest rotary distance to the state (tokens); 0 is the trained context - 256");
  visit("chunk-tokens", o.cache.chunk_tokens, results,
        "tokens of a chunk of a document, each read with a fresh state, a BOS included; 0 is the "
        "whole document");
  visit("sweep", o.sweep, results,
        "several settings side by side, which read the corpus once: values of the options of the "
        "state, of seed and of instruction, as 'policy=full,tova cache-size=128,256'");
  visit("bos", o.bos, results,
        "a BOS before each document, chunk or prompt: auto (as the model's tokenizer or chat "
        "template "
        "puts it), always, never");
  visit("parse-special", o.parse_special, results,
        "recognise control tokens in the text of documents");
  visit("token-nll", o.token_nll, results, "store every token's id and NLL in /tokens");
  visit("trace-state", o.trace_state, results,
        "store the death step of every token in every layer in /trace");
  visit("nll-by-position", o.nll_by_position, scoring,
        "store the NLL by position in the document, or chunk, in /nll_by_position");
  visit("position-bin", o.position_bin, scoring,
        "nll-by-position: tokens of a bin; 0 is bins of a quarter of a power of two");
  visit("analyze", o.analyze, scoring,
        "store how long tokens of each class stay (punctuation, word starts, ...) in /analysis");
  visit(
      "lexicon", o.lexicon, convenience,
      "analyze: file of lines word<TAB>tag, such as parts of speech, whose tags are classes, too");
}

// What is asked of a document.
template <class Options, class Visit>
void visit_prompt_fields(Options& o, Visit&& visit) {
  using enum Effect;
  visit("question-key", o.corpus.question_key, generation,
        "JSON key of a record's question, or list of questions (one answer each)");
  visit("reference-key", o.corpus.reference_key, generation,
        "JSON key of what an answer is compared with: a string or a list; of a list of questions a "
        "list with one of these each");
  visit("task", o.generation.task, generation,
        "built-in prompt: summary, qa, continue, or auto: qa where a record has a question, else "
        "continue (generate) or summary (summarize)");
  visit("prompt", o.generation.prompt_file, convenience,
        "file with a prompt of your own: {document} and {question} stand for these, literal braces "
        "are doubled; without {document} it is an instruction");
  visit("chat-template", o.generation.chat_template, generation,
        "auto (the model's own, none where it has none), none, chatml, llama2, llama3, mistral, "
        "qwen, or a file with a Jinja template");
  visit("system", o.generation.system, generation,
        "system message before each prompt; a chat template without one is refused");
  visit("prompt-date", o.generation.prompt_date, generation,
        "the day that a chat template takes for today, where it says it: a fixed one, so that "
        "runs repeat");
  visit("instruction", o.generation.instruction, generation,
        "where an instruction stands: before or after the document, both, pinned: before, with "
        "--pin-instruction, or auto: both, with --policy full after");
  visit("pin-instruction", o.generation.pin_instruction, generation,
        "what stands before the document never leaves the state");
  visit(
      "prefill", o.generation.prefill, generation,
      "stream: bounded throughout; full: unbounded, then cut to the cache size at its last token");
  visit("max-document-tokens", o.generation.max_document_tokens, generation,
        "leave out what is beyond so many tokens of a document; 0 is never");
  visit("truncate", o.generation.truncate, generation,
        "what is left out of a longer document: end, middle");
  visit("strategy", o.generation.strategy, generation,
        "stream: the document as a whole; chunk: its chunks of --chunk-tokens on their own, then "
        "what was written about these");
}

// What the documents of a probe are.
template <class Options, class Visit>
void visit_probe_fields(Options& o, Visit&& visit) {
  using enum Effect;
  visit("tasks", o.probe.tasks, probing,
        "what is hidden in the texts, and asked for: passkey, needles, variables, words, a comma "
        "between two");
  visit("lengths", o.probe.lengths, probing, "tokens of the texts, a comma between two");
  visit("depths", o.probe.depths, probing,
        "shares of the text before what is hidden, 0 to 1, a comma between two");
  visit("n", o.probe.n, probing, "texts of each task, length and depth");
  visit("needles", o.probe.needles, probing,
        "task needles: sentences of one form, of which one is asked for");
  visit("hops", o.probe.hops, probing,
        "task variables: so many variables are equal to the one before them");
  visit("haystack", o.probe.haystack, probing,
        "file with the text around what is hidden; without it sentences of tovamill's own");
}

// How texts are written.
template <class Options, class Visit>
void visit_sampling_fields(Options& o, Visit&& visit) {
  using enum Effect;
  visit("max-new-tokens", o.generation.max_new_tokens, generation, "of a text at most (tokens)");
  visit("min-new-tokens", o.generation.min_new_tokens, generation, "of a text at least (tokens)");
  visit("samples", o.generation.samples, generation,
        "texts after each prompt; more than 1 needs a --temperature");
  visit("temperature", o.generation.sampling.temperature, generation,
        "of sampling; 0 takes the likeliest token");
  visit("top-k", o.generation.sampling.top_k, generation,
        "sample from the so many likeliest tokens; 0 is all");
  visit("top-p", o.generation.sampling.top_p, generation,
        "sample from the likeliest tokens that have this probability together");
  visit("min-p", o.generation.sampling.min_p, generation,
        "sample from tokens of at least this share of the highest probability");
  visit("repetition-penalty", o.generation.sampling.repetition_penalty, generation,
        "over 1: tokens of the prompt and of the text so far become less likely");
  visit("seed", o.generation.sampling.seed, random, seed_help().c_str());
  visit("stop", o.generation.stop, generation,
        "a string at which a text ends, itself left out; may be given several times");
  visit("stem", o.generation.stem, generation, "ROUGE compares stems of words (English)");
  visit("stream-jsonl", o.generation.stream_jsonl, convenience,
        "JSON lines file to which each text is added as soon as it is durable");
}

// On what and how fast is computed.
template <class Options, class Visit>
void visit_machine_fields(Options& o, Visit&& visit) {
  using enum Effect;
  visit("device", o.device, results, "auto, cpu, cuda");
  visit("dtype", o.dtype, results,
        "weights and matrix products: bf16, f32, or auto: bf16 where the CPU is faster with it or "
        "only that fits, else f32");
  visit("block", o.block, results, "tokens of one stream processed in one step; 0 is auto (256)");
  visit("streams", o.streams, convenience,
        "documents or texts side by side; 0 is auto: what fits the memory, at most 16 documents "
        "(score) or 64 texts, and no more than the corpus has");
  visit("memory-budget", o.memory_budget, convenience,
        "bytes for states and workspace (suffixes K, M, G); 0 is auto");
  visit("ranks-per-gpu", o.ranks_per_gpu, convenience, "ranks that may share a GPU and its memory");
  visit("threads", o.threads, convenience,
        "0 is auto: SLURM_CPUS_PER_TASK, OMP_NUM_THREADS, else all cores");
  visit("stages", o.stages, convenience,
        "cut the model's layers into so many stages, one a rank, for models too large for one; the "
        "ranks form groups of so many");
}

// When a run saves, gives up and ends, and what it shows.
template <class Options, class Visit>
void visit_run_fields(Options& o, Visit&& visit) {
  using enum Effect;
  visit("sync-seconds", o.sync_seconds, convenience,
        "finished work is made durable this often (seconds)");
  visit("save-every", o.save_every, convenience,
        "save the state of documents in flight this often, for very long ones (seconds); 0 is "
        "only when the run is stopped");
  visit("silence-seconds", o.silence_seconds, convenience,
        "a rank that is not heard of for so long is given up (seconds)");
  visit("dedicated-coordinator", o.dedicated_coordinator, convenience,
        "rank 0 hands out work and computes nothing");
  visit("broadcast-weights", o.broadcast_weights, convenience,
        "send the model's files from rank 0 to hosts that do not have them");
  visit("strict", o.strict, convenience, "any bad record ends the run with exit code 65");
  visit("max-bad-fraction", o.max_bad_fraction, convenience,
        "more bad records than this fraction: exit code 65");
  visit("accept-appended", o.accept_appended, convenience,
        "continue a run whose corpus has grown since: by files, or by lines behind the last");
  visit("overwrite", o.overwrite, convenience, "delete what --out holds and start afresh");
  visit("log-format", o.log_format, convenience, "text, json");
  visit("progress-seconds", o.progress_seconds, convenience,
        "between progress lines where there is no terminal (seconds); 0 is every step");
}

}  // namespace fields

// Calls visit(name, field, effect, help) for each field, in the order of --help. `name` is the long
// option. `Options` is RunOptions or const RunOptions; enums, numbers, strings, bools and vectors
// of strings are passed by reference.
template <class Options, class Visit>
void visit_fields(Options& o, Visit&& visit) {
  fields::visit_corpus_fields(o, visit);
  fields::visit_state_fields(o, visit);
  fields::visit_prompt_fields(o, visit);
  fields::visit_probe_fields(o, visit);
  fields::visit_sampling_fields(o, visit);
  fields::visit_machine_fields(o, visit);
  fields::visit_run_fields(o, visit);
}

// The names that a text option takes ("log-format": text, json); empty where any text is one.
std::vector<std::string> names_of_option(std::string_view name);

// The device that a run has chosen; a CPU before it has.
inline DeviceKind device_of(const RunOptions& options) {
  return options.device.value_or(DeviceKind::cpu);
}
// Whether a field of this effect means something to the job at hand.
bool has_effect(Effect effect, const RunOptions& options);

// Whether --stream-jsonl is at work.
bool streams_results(const RunOptions& options);
// The corpus, without what the run itself writes.
CorpusOptions corpus_of(const RunOptions& options);
// What bounds the states: --chunk-tokens restarts them in scoring only.
CacheOptions cache_of(const RunOptions& options);

// Throws Error(configuration) where an option is given that the policy, or the positions, make no
// use of: a misunderstanding, not a wish to be passed over.
void check_policy_options(const CacheOptions& options);
// The text of the file of --lexicon. Throws Error(no_input), BadData where it is longer than 64
// MiB.
std::string read_lexicon_file(const std::string& path);

// Throws Error(usage or configuration) naming the option and what to give instead.
void validate(const RunOptions& options);

}  // namespace tovamill
