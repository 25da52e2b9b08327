#include "workers/options/generation_options.h"

#include <array>
#include <cerrno>
#include <charconv>
#include <chrono>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <iterator>

#include "engine/prompt/chat_template.h"
#include "io/files/utf8.h"
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
  if (g.chat_template != "auto" && g.chat_template_text.empty())
    chat_template_named(g.chat_template, {.system = g.system});
  check(valid_utf8_prefix(g.system) == g.system.size(), "--system is not UTF-8: give a text");
  date_of(g.prompt_date);
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

std::int64_t date_of(const std::string& day) {
  const auto number = [&](std::size_t at, std::size_t n) {
    int value = -1;
    const char* end = day.data() + at + n;
    return std::from_chars(day.data() + at, end, value).ptr == end ? value : -1;
  };
  const bool formed = day.size() == 10 && day[4] == '-' && day[7] == '-';
  const std::chrono::year_month_day date =
      formed ? std::chrono::year(number(0, 4)) / number(5, 2) / number(8, 2)
             : std::chrono::year_month_day{};
  check_range(formed && number(0, 4) > 0 && number(5, 2) > 0 && number(8, 2) > 0 && date.ok(),
              "--prompt-date", day, "give a day as 2024-07-26");
  return std::chrono::seconds(std::chrono::sys_days(date).time_since_epoch()).count();
}

namespace {

// The content of a file that an option names.
std::string content_of(const std::string& option, const std::string& path,
                       const std::string& holds) {
  std::ifstream file(path, std::ios::binary);
  std::string text(kLongestPromptFile + 1, '\0');
  file.read(text.data(), static_cast<std::streamsize>(text.size()));
  if (!file.eof())
    throw Error(file.gcount() > static_cast<std::streamsize>(kLongestPromptFile)
                    ? ExitCode::bad_data
                    : ExitCode::no_input,
                option + " " + path +
                    (file.gcount() > static_cast<std::streamsize>(kLongestPromptFile)
                         ? " is longer than 1 MiB: give a file that holds " + holds
                         : std::string(" cannot be read: ") + std::strerror(errno)));
  text.resize(static_cast<std::size_t>(file.gcount()));
  return text;
}

}  // namespace

void read_prompt_file(GenerationOptions& options) {
  const std::string& name = options.chat_template;
  std::error_code error;
  if (name != "auto" && !is_chat_template_name(name) && std::filesystem::exists(name, error)) {
    options.chat_template_text = content_of("--chat-template", name, "a Jinja template");
    check(!options.chat_template_text.empty(),
          "--chat-template " + name + " is empty: write a Jinja template into it");
    const std::string& text = options.chat_template_text;
    if (const std::size_t valid = valid_utf8_prefix(text); valid < text.size())
      throw BadData("--chat-template " + name + " is not UTF-8 at its byte " +
                    std::to_string(valid) + ": give a Jinja template");
  }
  if (options.prompt_file.empty()) return;
  options.prompt = content_of("--prompt", options.prompt_file, "a prompt");
  if (options.prompt.empty())
    throw Error(ExitCode::configuration,
                "--prompt " + options.prompt_file + " is empty: write an instruction into it");
}

}  // namespace tovamill
