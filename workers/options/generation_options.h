// What `summarize` and `generate` take beside what `score` takes.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "engine/prompt/prompt.h"
#include "engine/sampling/sampling.h"
#include "kernels/types/cache_options.h"

namespace tovamill {

// What a run does with its documents.
// `probe` generates, over a corpus that it makes.
enum class Job : std::uint8_t { score, summarize, generate, probe };

// `automatic`: qa where the record asks something, else continuation.
enum class TaskChoice : std::uint8_t { automatic, summary, qa, continuation };
// `automatic`: both where the state is bounded, for it forgets what was asked long ago; else after.
// `pinned`: before, and it never leaves the state.
enum class InstructionChoice : std::uint8_t { automatic, before, after, both, pinned };
// How the prompt is read: bounded from its first token, or unbounded and brought down to the cache
// size by its last query, as the authors' code does.
enum class Prefill : std::uint8_t { stream, full };
// Which part of a document that is too long is left out.
enum class Truncation : std::uint8_t { end, middle };
// The document in one stream, or the answers to its chunks in a second prompt.
enum class Strategy : std::uint8_t { stream, chunk };

// The day that chat templates take for today's, where they say it: that of Llama 3.1's own.
inline constexpr char kPromptDate[] = "2024-07-26";
// Midnight of "2024-07-26" in seconds since 1970, UTC. Throws Error(configuration) for what is no
// date.
std::int64_t date_of(const std::string& day);

struct GenerationOptions {
  TaskChoice task = TaskChoice::automatic;
  std::string prompt_file;             // a template, or an instruction
  std::string prompt;                  // its content; empty where a built-in one is used
  std::string chat_template = "auto";  // auto, none, chatml, ..., or a file
  std::string chat_template_text;      // the content of that file
  std::string system;                  // a system message; empty: none
  std::string prompt_date = kPromptDate;
  InstructionChoice instruction = InstructionChoice::automatic;
  bool pin_instruction = false;
  Prefill prefill = Prefill::stream;
  std::int32_t max_document_tokens = 0;  // 0: all
  Truncation truncate = Truncation::end;
  Strategy strategy = Strategy::stream;
  std::int32_t max_new_tokens = 256, min_new_tokens = 0;
  std::int32_t samples = 1;
  SamplingOptions sampling;
  std::vector<std::string> stop;
  bool stem = false;  // words for ROUGE
  std::string stream_jsonl;

  // Whether what stands before the document stays.
  bool pins() const { return pin_instruction || instruction == InstructionChoice::pinned; }
};

std::string_view name_of(Job job);
// Of a corpus that is there: not probe. Throws Error(usage).
Job job_named(std::string_view name);

struct RunOptions;
// Throws Error(usage or configuration) naming the option and what to give instead.
void validate_generation(const RunOptions& options);
// Reads the file of --prompt into `prompt`, and that of --chat-template, where it is one, into
// `chat_template_text`. Throws Error(no_input), or BadData for one that is too long.
void read_prompt_file(GenerationOptions& options);

}  // namespace tovamill
