// How a generation document begins: its prompts, and whether these and their states have room.
#include <algorithm>

#include "kernels/types/format.h"
#include "workers/documents/generation_document.h"

namespace tovamill {

GenerationDocument::GenerationDocument(const GenerationSetting& setting, const Prompting& prompting,
                                       StateKeeper& states, StatePool& pool, CorpusRecord record)
    : setting_(setting),
      prompting_(prompting),
      states_(states),
      pool_(pool),
      record_(std::move(record)),
      counts_(setting.sequence.n_layers, setting.sequence.n_eviction_groups) {
  result_ = record_of(record_);
  result_.n_words = count_words(record_.text);
  result_.positions = setting.positions;
  result_.clip_distance = setting.clip_distance;
  result_.n_eviction_groups = static_cast<std::uint32_t>(setting.sequence.n_eviction_groups);
  if (const std::string why = prompting.rejection(record_); !why.empty()) {
    refuse("missing-question", why);
    return;
  }
  try {
    make_prompts();
  } catch (const UnencodableText& e) {
    refuse("bad-tokens", e.what());
  }
  if (rejection_.empty()) check_memory();
}

void GenerationDocument::refuse(const std::string& reason, const std::string& text) {
  rejection_reason_ = reason;
  rejection_ = text;
}

const std::string* GenerationDocument::question_of(const Answer& answer) const {
  return prompting_.n_questions(record_) > 0 ? &record_.questions[answer.question] : nullptr;
}

void GenerationDocument::make_prompts() {
  const std::string text = prompting_.shortened(record_.text);
  const std::size_t n_questions = std::max<std::size_t>(1, prompting_.n_questions(record_));
  for (std::size_t q = 0; q < n_questions; ++q) {
    for (std::int32_t s = 0; s < setting_.samples; ++s) {
      answers_.emplace_back();
      answers_.back().question = q;
      answers_.back().sample = static_cast<std::uint32_t>(s);
    }
  }
  if (setting_.chunk_tokens > 0) {
    const std::vector<DocumentChunk> chunks = cut(text, 0);
    for (Answer& a : answers_) a.chunks = chunks;
    record_.text = text;
    n_expected_ = answers_.size() * (text.size() / 4 + 1);
  } else {
    for (Answer& a : answers_) a.chunks.resize(1);
    record_.text = std::string();
    prompts_ = DocumentPrompts(prompting_, record_, text, setting_.samples,
                               setting_.sequence.vocab_size, setting_.pins_instruction);
    if (!prompts_.rejection().empty()) return refuse("bad-tokens", prompts_.rejection());
    may_share_ = shares_ = prompts_.shared() != nullptr;
    n_expected_ = prompts_.n_shared();
    for (const Answer& a : answers_)
      n_expected_ += prompts_.tail(a.question).size() +
                     static_cast<std::uint64_t>(setting_.sequence.max_new_tokens);
  }
  if (rejection_.empty() && setting_.pins_instruction) check_pins();
}

void GenerationDocument::check_pins() {
  if (setting_.cache_size == 0) return;
  for (std::size_t a = 0; a < answers_.size(); a += static_cast<std::size_t>(setting_.samples)) {
    const std::int32_t pin =
        setting_.chunk_tokens > 0
            ? static_cast<std::int32_t>(
                  prompting_.prompt(*answers_[a].chunks.front().text, question_of(answers_[a]))
                      .n_leading)
            : prompts_.pin(answers_[a].question);
    if (pin < setting_.cache_size) continue;
    return refuse("instruction-too-long",
                  "--pin-instruction: the instruction has " + with_thousands(pin) +
                      " tokens, as many as the smallest layer keeps: give a larger --cache-size");
  }
}

std::uint64_t GenerationDocument::shared_prefix_bytes() const {
  // Its state may go on to be that of the last answer.
  return sequence_bytes(setting_.sequence, pool_, prompts_.n_shared() + prompts_.longest_tail(),
                        false);
}

// Samples of a question all take the same.
std::uint64_t GenerationDocument::most_task_bytes() const {
  std::uint64_t most = 0;
  for (std::size_t a = 0; a < answers_.size(); a += static_cast<std::size_t>(setting_.samples)) {
    for (std::size_t p = 0; p < answers_[a].chunks.size(); ++p)
      most = std::max(most, task_bytes({a, p}));
  }
  return most;
}

std::uint64_t GenerationDocument::least_bytes() const {
  if (shares_) return 2 * shared_prefix_bytes();
  return wants_state().value_or(0);
}

void GenerationDocument::check_memory() {
  const std::uint64_t most = most_task_bytes();
  if (shares_ && shared_prefix_bytes() > pool_.most_bytes(2)) may_share_ = shares_ = false;
  if (most > pool_.most_bytes(1)) refuse_as_too_large(most);
}

void GenerationDocument::refuse_as_too_large(std::uint64_t n_bytes) {
  refuse("too-large",
         "its state takes " + with_thousands(n_bytes) + " bytes, but the memory has room for " +
             with_thousands(pool_.most_bytes(1)) +
             ": use a bounded policy with --prefill stream, fewer --max-document-tokens, "
             "or a larger --memory-budget");
}

std::vector<GenerationDocument::DocumentChunk> GenerationDocument::cut(const std::string& text,
                                                                       std::size_t most) const {
  std::vector<DocumentChunk> chunks;
  for (std::string& chunk : prompting_.chunks(text, setting_.chunk_tokens, most))
    chunks.push_back({std::make_shared<const std::string>(std::move(chunk)), std::nullopt, false});
  return chunks;
}

}  // namespace tovamill
