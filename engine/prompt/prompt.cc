// PromptBuilder.
#include "engine/prompt/prompt.h"

#include <algorithm>
#include <utility>

#include "engine/text/python_text.h"
#include "engine/text/utf8.h"
#include "kernels/types/error.h"
#include "kernels/types/printable.h"

namespace tovamill {

namespace {

// Both of what Python's str.strip() takes off.
std::size_t leading_space(std::string_view text) {
  std::size_t at = 0;
  while (at < text.size()) {
    const CodePoint c = decode_utf8(text, at);
    if (!is_python_space(c.value)) break;
    at += c.length;
  }
  return at;
}

std::size_t trailing_space(std::string_view text) {
  std::size_t end = text.size();
  while (end > 0) {
    const std::size_t begin = previous_utf8(text, end);
    if (!is_python_space(decode_utf8(text, begin).value)) break;
    end = begin;
  }
  return text.size() - end;
}

// The id of a control token by its content: a token of the vocabulary that gives no text.
std::optional<TokenId> control_id(const Tokenizer& tokenizer, std::string_view content) {
  const auto id = tokenizer.id_of(content);
  if (!id || !tokenizer.decode({*id}, false).empty() || tokenizer.decode({*id}, true).empty()) {
    return std::nullopt;
  }
  return id;
}

std::size_t common_prefix(const std::vector<TokenId>& a, const std::vector<TokenId>& b) {
  const auto end = std::mismatch(a.begin(), a.end(), b.begin(), b.end()).first;
  return static_cast<std::size_t>(end - a.begin());
}

}  // namespace

PromptBuilder::PromptBuilder(const Tokenizer& tokenizer, ChatTemplate chat,
                             std::optional<TokenId> bos)
    : tokenizer_(tokenizer), chat_(std::move(chat)) {
  if (bos) leading_ = {*bos};
  before_ = runs_of(chat_.before);
  after_ = runs_of(chat_.after);
  if (!before_.empty() && !before_.back().control) {
    text_before_ = std::move(before_.back().text);
    before_.pop_back();
  }
  if (!after_.empty() && !after_.front().control) {
    text_after_ = std::move(after_.front().text);
    after_.erase(after_.begin());
  }
  if (bos && !before_.empty() && before_.front().control == bos) leading_.clear();
  for (const std::string& token : chat_.end_tokens) {
    if (const auto id = control_id(tokenizer_, token)) end_ids_.push_back(*id);
  }
}

std::vector<PromptBuilder::Run> PromptBuilder::runs_of(
    const std::vector<PromptSegment>& pieces) const {
  std::vector<Run> runs;
  for (const auto& [kind, text] : pieces) {
    const bool may_be_control = kind != PromptSegment::Kind::text;
    const auto id = may_be_control ? control_id(tokenizer_, text) : std::nullopt;
    if (kind == PromptSegment::Kind::control && !id) {
      throw Error(ExitCode::configuration,
                  "the chat template " + chat_.name + " needs the control token " +
                      printable(text) + ", which this model's tokenizer does not have: choose " +
                      "another --chat-template, of " + kChatTemplateNames);
    }
    if (id) {
      runs.push_back({id, ""});
    } else if (!runs.empty() && !runs.back().control) {
      runs.back().text += text;
    } else {
      runs.push_back({std::nullopt, text});
    }
  }
  return runs;
}

void PromptBuilder::append(const Run& run, bool at_start, std::vector<TokenId>& ids) const {
  if (run.control) {
    ids.push_back(*run.control);
  } else if (at_start) {
    tokenizer_.encode(run.text, false, ids);
  } else {
    tokenizer_.encode_behind_control(run.text, ids);
  }
}

PromptIds PromptBuilder::build(const PromptTemplate& prompt, std::string_view document,
                               std::string_view question) const {
  const std::string before = prompt.before_document(question);
  std::string message = before;
  if (prompt.has_document()) message.append(document).append(prompt.after_document(question));
  std::size_t n_before = before.size();  // bytes of the message before the document
  if (chat_.trims_start) {
    const std::size_t space = leading_space(message);
    message.erase(0, space);
    n_before -= std::min(n_before, space);
  }
  if (chat_.trims_end) message.erase(message.size() - trailing_space(message));
  n_before = std::min(n_before, message.size());

  PromptIds out;
  out.ids = leading_;
  for (const Run& run : before_) {
    append(run, &run == &before_.front() && !chat_.starts_with_bos, out.ids);
  }
  const bool at_start = before_.empty() && !chat_.starts_with_bos;
  std::vector<TokenId> without_document = out.ids;
  append({std::nullopt, text_before_ + message.substr(0, n_before)}, at_start, without_document);
  append({std::nullopt, text_before_ + message + text_after_}, at_start, out.ids);
  out.n_leading = common_prefix(without_document, out.ids);
  for (const Run& run : after_) append(run, false, out.ids);
  return out;
}

}  // namespace tovamill
