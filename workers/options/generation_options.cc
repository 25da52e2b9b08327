#include "workers/options/generation_options.h"

#include <array>
#include <cerrno>
#include <cstring>
#include <fstream>
#include <iterator>

#include "engine/prompt/chat_template.h"
#include "kernels/types/error.h"
#include "workers/options/option_values.h"
#include "workers/options/run_options.h"

namespace tovamill {
namespace {

constexpr std::array<std::string_view, 4> kJobs{"score", "summarize", "generate", "probe"};
constexpr std::size_t kLongestPromptFile = 1u << 20;

void check(bool ok, const std::string& what) {
  if (!ok) throw Error(ExitCode::configuration, what);
}

void check_prefill(const RunOptions& o) {
  if (o.generation.prefill != Prefill::full) return;
  check(traits_of(o.cache.policy).memory == PolicyMemory::none,
        "--prefill full does not go with --policy " + text_of(o.cache.policy) +
            ": what that policy remembers is not kept in an unbounded prompt; use --prefill stream "
            "or --policy tova");
  check(o.cache.merge == 0,
        "--prefill full does not go with --merge " + text_of(o.cache.merge) +
            ": the tokens of an unbounded prompt leave all at once; use --prefill stream");
}

void check_strategy(const RunOptions& o) {
  const bool cuts = o.generation.strategy == Strategy::chunk;
  check(!cuts || o.cache.chunk_tokens > 0,
        "--strategy chunk: --chunk-tokens is missing: give the tokens of a chunk, such as 2048");
  check(!cuts || o.generation.max_new_tokens <= o.cache.chunk_tokens / 2,
        "--max-new-tokens " + text_of(o.generation.max_new_tokens) +
            ": with --strategy chunk it must be at most half of --chunk-tokens (" +
            text_of(o.cache.chunk_tokens) + "), or the answers would not get shorter");
  check(cuts || o.cache.chunk_tokens == 0,
        "--chunk-tokens has no effect with --strategy stream: give --strategy chunk, or "
        "--max-document-tokens to read less of each document");
}

}  // namespace

std::string_view name_of(Job job) { return kJobs[static_cast<std::size_t>(job)]; }

Job job_named(std::string_view name) {
  for (std::size_t i = 0; i < kJobs.size(); ++i) {
    const auto job = static_cast<Job>(i);
    if (kJobs[i] == name && job != Job::probe) return job;
  }
  throw Error(ExitCode::usage,
              "'" + std::string(name) + "' is no job: choose score, summarize or generate");
}

void validate_generation(const RunOptions& o) {
  const GenerationOptions& g = o.generation;
  if (g.chat_template != "auto") chat_template_named(g.chat_template);
  check_range(g.max_new_tokens >= 1 && g.max_new_tokens <= 1'000'000, "--max-new-tokens",
              text_of(g.max_new_tokens), "give 1 to 1000000 tokens");
  check_range(g.min_new_tokens >= 0 && g.min_new_tokens <= g.max_new_tokens, "--min-new-tokens",
              text_of(g.min_new_tokens), "give 0 to --max-new-tokens");
  check_range(g.samples >= 1 && g.samples <= 10'000, "--samples", text_of(g.samples),
              "give 1 to 10000");
  check_range(g.max_document_tokens >= 0, "--max-document-tokens", text_of(g.max_document_tokens),
              "give a number of tokens, or 0 for all");
  for (const std::string& s : g.stop) check(!s.empty(), "--stop '' is empty: give a text");
  validate(g.sampling);
  check(g.samples == 1 || g.sampling.temperature > 0.0,
        "--samples " + text_of(g.samples) +
            ": with --temperature 0 all of them would be equal; give a --temperature such as 0.7");
  check(!(g.task == TaskChoice::qa && o.corpus.question_key.empty()),
        "--task qa: --question-key is empty: give the JSON key of a record's question");
  check_prefill(o);
  check_strategy(o);
}

void read_prompt_file(GenerationOptions& options) {
  if (options.prompt_file.empty()) return;
  std::ifstream file(options.prompt_file, std::ios::binary);
  std::string text(kLongestPromptFile + 1, '\0');
  file.read(text.data(), static_cast<std::streamsize>(text.size()));
  if (!file.eof())
    throw Error(file.gcount() > static_cast<std::streamsize>(kLongestPromptFile)
                    ? ExitCode::bad_data
                    : ExitCode::no_input,
                "--prompt " + options.prompt_file +
                    (file.gcount() > static_cast<std::streamsize>(kLongestPromptFile)
                         ? " is longer than 1 MiB: give a file that holds a prompt"
                         : std::string(" cannot be read: ") + std::strerror(errno)));
  text.resize(static_cast<std::size_t>(file.gcount()));
  if (text.empty())
    throw Error(ExitCode::configuration,
                "--prompt " + options.prompt_file + " is empty: write an instruction into it");
  options.prompt = std::move(text);
}

}  // namespace tovamill
