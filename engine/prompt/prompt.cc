// PromptBuilder.
#include "engine/prompt/prompt.h"

#include <algorithm>
#include <utility>

#include "engine/text/unicode_classes.h"
#include "engine/text/utf8.h"
#include "kernels/types/error.h"
#include "kernels/types/printable.h"

namespace tovamill {

namespace {

// The id of a control token by its content: a token of the vocabulary that gives no text.
std::optional<TokenId> control_id(const Tokenizer& tokenizer, std::string_view content) {
  const auto id = tokenizer.id_of(content);
  if (!id || !tokenizer.decode({*id}, false).empty() || tokenizer.decode({*id}, true).empty()) {
    return std::nullopt;
  }
  return id;
}

// A token of the vocabulary that gives no text of its own.
bool gives_no_text(const Tokenizer& tokenizer, TokenId id) {
  return tokenizer.decode({id}, false).empty() && !tokenizer.decode({id}, true).empty();
}

std::size_t common_prefix(const std::vector<TokenId>& a, const std::vector<TokenId>& b) {
  const auto end = std::mismatch(a.begin(), a.end(), b.begin(), b.end()).first;
  return static_cast<std::size_t>(end - a.begin());
}

// Unicode's White_Space, which `lstrip` and `rstrip` of added tokens take.
bool is_white_space(char32_t c) { return (UnicodeClasses::get()(c) & CharClass::space) != 0; }

std::size_t leading_space(std::string_view text) {
  std::size_t at = 0;
  while (at < text.size()) {
    const CodePoint c = decode_utf8(text, at);
    if (!is_white_space(c.value)) break;
    at += c.length;
  }
  return at;
}

std::size_t trailing_space(std::string_view text) {
  std::size_t end = text.size();
  while (end > 0) {
    const std::size_t begin = previous_utf8(text, end);
    if (!is_white_space(decode_utf8(text, begin).value)) break;
    end = begin;
  }
  return text.size() - end;
}

bool is_of_record(char32_t c) { return (c & JinjaOrigin::record) != 0; }

// How many characters at the front of a prompt do not depend on the document.
std::size_t n_before_document(JinjaTextView text) {
  const auto first = std::find_if(text.begin(), text.end(),
                                  [](char32_t c) { return (c & JinjaOrigin::document) != 0; });
  if (first != text.end()) return static_cast<std::size_t>(first - text.begin());
  const auto last = std::find_if(text.rbegin(), text.rend(),
                                 [](char32_t c) { return (c & JinjaOrigin::message) != 0; });
  return static_cast<std::size_t>(text.rend() - last);
}

}  // namespace

PromptBuilder::PromptBuilder(const Tokenizer& tokenizer, ChatTemplate chat,
                             std::optional<TokenId> bos)
    : tokenizer_(tokenizer), chat_(std::move(chat)), bos_(bos) {
  if (bos) leading_ = {*bos};
  for (const std::string& token : chat_.control_tokens) {
    if (control_id(tokenizer_, token)) continue;
    throw Error(ExitCode::configuration,
                "the chat template " + chat_.name + " needs the control token " + printable(token) +
                    ", which this model's tokenizer does not have: choose " +
                    "another --chat-template, a file or one of " + kChatTemplateNames);
  }
  if (!is_chat_template_name(chat_.name)) check_ids();
  find_end_ids();
  if (chat_.answers_in_channels) find_channels();
}

void PromptBuilder::find_end_ids() {
  for (const std::string& token : chat_.end_tokens) {
    if (const auto id = control_id(tokenizer_, token)) end_ids_.push_back(*id);
  }
  // What stands behind an assistant's message, at once or behind white space.
  std::vector<Run> runs;
  split_template_text(chat_.after_reply, runs);
  for (const Run& run : runs) {
    if (run.control) end_ids_.push_back(*run.control);
    if (run.control || leading_space(run.text) < run.text.size()) break;
  }
}

void PromptBuilder::find_channels() {
  AnswerChannels found;
  const std::pair<const char*, TokenId*> wanted[] = {{"<|start|>", &found.start},
                                                     {"<|channel|>", &found.channel},
                                                     {"<|message|>", &found.message},
                                                     {"<|end|>", &found.end}};
  for (const auto& [token, id] : wanted) {
    const auto known = control_id(tokenizer_, token);
    if (!known) return;
    *id = *known;
  }
  channels_ = found;
}

// Control tokens are those that the tokenizer finds where it looks for them.
void PromptBuilder::split_template_text(const std::string& text, std::vector<Run>& runs) const {
  std::vector<TokenId> ids;
  tokenizer_.encode(text, true, ids);
  const auto add_text = [&](std::string part) {
    if (part.empty()) return;
    if (runs.empty() || runs.back().control) runs.push_back({std::nullopt, ""});
    runs.back().text += part;
  };
  std::size_t begin = 0;
  for (const TokenId id : ids) {
    if (!gives_no_text(tokenizer_, id)) continue;
    const std::string content = tokenizer_.decode({id}, true);
    const std::size_t at = text.find(content, begin);
    if (at == std::string::npos) continue;  // the token of what is unknown
    add_text(text.substr(begin, at - begin));
    runs.push_back({id, ""});
    begin = at + content.size();
  }
  add_text(text.substr(begin));
}

std::vector<PromptBuilder::Run> PromptBuilder::runs_of(JinjaTextView text) const {
  std::vector<Run> runs;
  while (!text.empty()) {
    const bool of_record = is_of_record(text.front());
    const auto end = std::find_if(text.begin(), text.end(),
                                  [&](char32_t c) { return is_of_record(c) != of_record; });
    const auto n = static_cast<std::size_t>(end - text.begin());
    std::string part = to_utf8_of(text.substr(0, n));
    if (!of_record) {
      split_template_text(part, runs);
    } else if (runs.empty() || runs.back().control) {
      runs.push_back({std::nullopt, std::move(part)});
    } else {
      runs.back().text += part;
    }
    text.remove_prefix(n);
  }
  strip(runs);
  return runs;
}

PromptBuilder::Strips PromptBuilder::strips_of(TokenId id) const {
  const std::string content = tokenizer_.decode({id}, true);
  std::vector<TokenId> behind, before;
  tokenizer_.encode("x" + content + " \n", true, behind);
  tokenizer_.encode(" \n" + content + "x", true, before);
  return {.before = !before.empty() && before.front() == id,
          .behind = !behind.empty() && behind.back() == id};
}

void PromptBuilder::strip(std::vector<Run>& runs) const {
  for (std::size_t i = 0; i < runs.size(); ++i) {
    if (!runs[i].control) continue;
    const bool has_before = i > 0 && !runs[i - 1].control;
    const bool has_behind = i + 1 < runs.size() && !runs[i + 1].control;
    if (!has_before && !has_behind) continue;
    const Strips strips = strips_of(*runs[i].control);
    if (has_before && strips.before) {
      std::string& text = runs[i - 1].text;
      text.resize(text.size() - trailing_space(text));
    }
    if (has_behind && strips.behind) {
      std::string& text = runs[i + 1].text;
      text.erase(0, leading_space(text));
    }
  }
  std::erase_if(runs, [](const Run& run) { return !run.control && run.text.empty(); });
}

std::vector<TokenId> PromptBuilder::ids_of(const std::vector<Run>& runs) const {
  std::vector<TokenId> ids;
  for (const Run& run : runs) {
    if (run.control) {
      ids.push_back(*run.control);
    } else if (&run == &runs.front() && !chat_.starts_with_bos) {
      tokenizer_.encode(run.text, false, ids);
    } else {
      tokenizer_.encode_behind_control(run.text, ids);
    }
  }
  return ids;
}

// That texts in which nothing looks like a control token get the ids of the whole text.
void PromptBuilder::check_ids() const {
  for (const char* message : {"The miller's 7 Words", " Two\n\nlines. \n"}) {
    std::vector<TokenId> expected, ids;
    JinjaText text;
    try {
      text = chat_.rendered(jinja_text(message, JinjaOrigin::message));
    } catch (const JinjaError&) {
      continue;  // it says why where a record is like that
    }
    std::string whole = to_utf8_of(text);
    if (chat_.starts_with_bos) {
      const auto id = control_id(tokenizer_, chat_.bos);
      if (!id) return;
      ids.push_back(*id);
      whole.insert(0, chat_.bos);
    }
    const std::vector<TokenId> behind = ids_of(runs_of(text));
    ids.insert(ids.end(), behind.begin(), behind.end());
    tokenizer_.encode(whole, true, expected);
    if (ids == expected) continue;
    throw Error(ExitCode::configuration,
                "the chat template " + chat_.name + " gives " + printable(whole) +
                    ", of which the tokenizer makes other tokens in parts than in one piece: "
                    "choose another --chat-template, a file or one of " +
                    kChatTemplateNames);
  }
}

PromptIds PromptBuilder::build(const PromptTemplate& prompt, std::string_view document,
                               std::string_view question) const {
  for (const std::string_view text : {document, question}) {
    std::vector<TokenId> ids;
    if (find_invalid_utf8(text)) tokenizer_.encode(text, false, ids);  // which says where
  }
  JinjaText message = jinja_text(prompt.before_document(question), JinjaOrigin::message);
  if (prompt.has_document()) {
    constexpr char32_t behind = JinjaOrigin::message | JinjaOrigin::document;
    message += jinja_text(document, behind);
    message += jinja_text(prompt.after_document(question), behind);
  }
  JinjaText text;
  try {
    text = chat_.rendered(std::move(message));
  } catch (const JinjaError& e) {
    throw UnencodableText("the chat template " + chat_.name + " refuses it: " + e.what());
  }
  const std::vector<Run> runs = runs_of(text);
  const bool has_bos = bos_ && !runs.empty() && runs.front().control == bos_ &&
                       !chat_.starts_with_bos && leading_ == std::vector<TokenId>{*bos_};
  PromptIds out, without_document;
  if (!has_bos) out.ids = without_document.ids = leading_;
  const auto add = [](PromptIds& to, const std::vector<TokenId>& ids) {
    to.ids.insert(to.ids.end(), ids.begin(), ids.end());
  };
  add(out, ids_of(runs));
  add(without_document, ids_of(runs_of(JinjaTextView(text).substr(0, n_before_document(text)))));
  out.n_leading = common_prefix(without_document.ids, out.ids);
  return out;
}

}  // namespace tovamill
