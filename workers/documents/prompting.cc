#include "workers/documents/prompting.h"

#include <algorithm>

#include "engine/prompt/end_tokens.h"
#include "kernels/types/error.h"
#include "workers/documents/generation_defaults.h"
#include "workers/load/model_parts.h"
#include "workers/options/option_values.h"

namespace tovamill {
namespace {

// More tokens before a token do not change which bytes it gives.
constexpr std::size_t kContextTokens = 16;

InstructionPlace place_of(const RunOptions& options) {
  switch (options.generation.instruction) {
    case InstructionChoice::before:
    case InstructionChoice::pinned:
      return InstructionPlace::before;
    case InstructionChoice::after:
      return InstructionPlace::after;
    case InstructionChoice::both:
      return InstructionPlace::both;
    case InstructionChoice::automatic:
      break;
  }
  return is_bounded(options.cache) ? InstructionPlace::both : InstructionPlace::after;
}

TaskChoice task_of(const RunOptions& options) {
  if (options.generation.task != TaskChoice::automatic) return options.generation.task;
  return options.job_kind == Job::summarize ? TaskChoice::summary : TaskChoice::automatic;
}

PromptTemplate own_prompt(const RunOptions& options) {
  const PromptTemplate prompt =
      PromptTemplate::parse(options.generation.prompt, options.generation.prompt_file);
  return prompt.has_document() ? prompt : prompt.around_document(place_of(options));
}

PromptTemplate choose_prompt(const RunOptions& options, TaskChoice task, bool has_question,
                             bool is_chat) {
  if (!options.generation.prompt.empty()) return own_prompt(options);
  const InstructionPlace place = place_of(options);
  if (task == TaskChoice::summary)
    return PromptTemplate::built_in(Task::summary, place, has_question, is_chat);
  if (task == TaskChoice::qa || (task == TaskChoice::automatic && has_question))
    return PromptTemplate::built_in(Task::qa, place, true);
  return PromptTemplate::built_in(Task::continuation, place, false);
}

ChatTemplate chat_template_of(const ModelFiles& files, const Tokenizer& tokenizer,
                              const RunOptions& options) {
  const GenerationOptions& generation = options.generation;
  const std::string& name = generation.chat_template;
  const ChatSettings settings{.system = generation.system, .date = date_of(generation.prompt_date)};
  if (is_chat_template_name(name)) return chat_template_named(name, settings);
  const bool is_own = name == "auto";
  const std::string jinja = is_own ? files.chat_template() : generation.chat_template_text;
  if (jinja.empty()) return chat_template_named(is_own ? "none" : name, settings);
  return read_chat_template(jinja, special_tokens_of(files, tokenizer),
                            is_own ? files.path() : name, settings, is_own ? "of the model" : name);
}

// "; reasoning switched off by enable_thinking=false", of what holds.
std::string reasoning_note(const ChatTemplate& chat, bool in_channels) {
  std::string note;
  const bool is_down = chat.reasoning.ends_with("=low") || chat.reasoning.ends_with("=minimal");
  if (!chat.reasoning.empty())
    note = std::string("; reasoning ") + (is_down ? "turned down" : "switched off") + " by " +
           chat.reasoning;
  if (in_channels) note += "; texts are what stands in the channel final";
  if (chat.begins_thinking) note += "; the texts begin with the model's reasoning";
  return note;
}

// Bytes of `text` up to at most `n`, without the part of a character.
std::size_t before_character(std::string_view text, std::size_t n) {
  n = std::min(n, text.size());
  while (n > 0 && n < text.size() && (static_cast<unsigned char>(text[n]) & 0xc0u) == 0x80u) --n;
  return n;
}

}  // namespace

Prompting::Prompting(const ModelFiles& files, const Tokenizer& tokenizer, const RunOptions& options)
    : tokenizer_(tokenizer),
      options_(options),
      task_(task_of(options)),
      template_(chat_template_of(files, tokenizer, options)),
      with_question_(choose_prompt(options, task_, true, template_.name != "none")),
      without_question_(choose_prompt(options, task_, false, template_.name != "none")) {
  const SurroundingTokens around = surrounding_tokens(tokenizer, options.bos);
  const std::optional<TokenId> bos = tokenizer.bos_id();
  // With `auto` a chat template decides by what it begins with.
  const bool chat_wants = options.bos == BosMode::automatic && template_.name != "none"
                              ? template_.starts_with_bos
                              : !around.leading.empty();
  chat_.emplace(tokenizer_, template_, chat_wants ? bos : std::nullopt);
  if (template_.name == "none") chat_->begin_with(around.leading);
  plain_.emplace(tokenizer_, chat_template_named("none"), std::nullopt);
  plain_->begin_with(around.leading);
  if (!around.trailing.empty() && (template_.name == "none" || may_be_bare())) {
    throw Error(ExitCode::configuration,
                files.path() + ": its tokenizer puts " + std::to_string(around.trailing.size()) +
                    " token(s) behind a text, where the continuation is to begin: use --bos always "
                    "or --bos never");
  }
  end_ids_ =
      files.format() == ModelFiles::Format::gguf
          ? gguf_end_token_ids(files.config(), tokenizer_, files.path())
          : hf_end_token_ids(files.config(), files.generation_config(), tokenizer_, files.path());
  end_ids_.insert(end_ids_.end(), chat_->end_ids().begin(), chat_->end_ids().end());
  std::sort(end_ids_.begin(), end_ids_.end());
  end_ids_.erase(std::unique(end_ids_.begin(), end_ids_.end()), end_ids_.end());
  const std::string differs =
      files.format() == ModelFiles::Format::gguf
          ? differing_gguf_defaults(files.config(), options.generation)
          : differing_defaults(files.generation_config(), options.generation);
  description_ = "chat template " + template_.name + ", " +
                 (options.generation.prompt.empty() ? "task " + text_of(task_)
                                                    : "prompt " + options.generation.prompt_file) +
                 reasoning_note(template_, channels().has_value()) + (differs.empty() ? "" : "; ") +
                 differs;
}

bool Prompting::may_be_bare() const {
  return options_.generation.prompt.empty() && options_.generation.chat_template == "auto" &&
         options_.generation.system.empty() &&
         (task_ == TaskChoice::continuation || task_ == TaskChoice::automatic);
}

std::size_t Prompting::n_questions(const CorpusRecord& record) const {
  return !record.questions.empty() && prompt_for(true).has_question() ? record.questions.size() : 0;
}

std::string Prompting::rejection(const CorpusRecord& record) const {
  if (!record.questions.empty() || !prompt_for(false).has_question()) return "";
  return "the prompt asks a question, but the key '" + options_.corpus.question_key +
         "' is missing: see --question-key";
}

std::string Prompting::shortened(std::string_view document) const {
  const auto most = static_cast<std::size_t>(options_.generation.max_document_tokens);
  if (most == 0) return std::string(document);
  std::vector<TokenId> ids;
  tokenizer_.encode(document, false, ids);
  if (ids.size() <= most) return std::string(document);
  const std::string text = tokenizer_.decode(ids, true);
  const auto bytes_of = [&](std::size_t n) {
    return tokenizer_.decode({ids.begin(), ids.begin() + static_cast<std::ptrdiff_t>(n)}, true)
        .size();
  };
  if (options_.generation.truncate == Truncation::end)
    return text.substr(0, before_character(text, bytes_of(most)));
  const std::size_t tail = most / 2, head = most - tail;
  std::size_t from = bytes_of(ids.size() - tail);
  while (from < text.size() && (static_cast<unsigned char>(text[from]) & 0xc0u) == 0x80u) ++from;
  return text.substr(0, before_character(text, bytes_of(head))) + text.substr(from);
}

std::vector<std::string> Prompting::chunks(std::string_view text, std::int32_t n_tokens,
                                           std::size_t most) const {
  std::vector<TokenId> ids;
  tokenizer_.encode(text, false, ids);
  auto each = static_cast<std::size_t>(n_tokens);
  if (most > 0) each = std::max(each, ids.size() / most + (ids.size() % most != 0));
  if (ids.size() <= each) return {std::string(text)};
  const std::string all = tokenizer_.decode(ids, true);
  std::vector<std::string> chunks;
  const auto n_bytes = [&](std::size_t from, std::size_t to) {
    const auto at = [&](std::size_t i) { return ids.begin() + static_cast<std::ptrdiff_t>(i); };
    return tokenizer_.decode({at(from), at(to)}, true).size();
  };
  std::size_t begin = 0, bytes = 0;
  for (std::size_t first = 0; first < ids.size(); first += each) {
    const std::size_t last = std::min(ids.size(), first + each);
    // Decoding from a token on may leave out a space that the whole has: a few tokens before the
    // chunk take that part.
    const std::size_t context = first - std::min(first, kContextTokens);
    bytes += n_bytes(context, last) - n_bytes(context, first);
    if (last == ids.size()) bytes = all.size();
    const std::size_t end = std::max(begin, before_character(all, bytes));
    if (end > begin) chunks.push_back(all.substr(begin, end - begin));
    begin = end;
  }
  return chunks;
}

PromptIds Prompting::prompt(std::string_view text, const std::string* question) const {
  const bool has_question = question != nullptr;
  const bool is_bare = may_be_bare() && (task_ == TaskChoice::continuation || !has_question);
  return (is_bare ? *plain_ : *chat_)
      .build(prompt_for(has_question), text, has_question ? *question : std::string());
}

}  // namespace tovamill
