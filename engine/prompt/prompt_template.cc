// PromptTemplate: --prompt files and the built-in instructions.
#include <algorithm>

#include "engine/prompt/prompt.h"
#include "engine/text/utf8.h"
#include "kernels/types/error.h"
#include "kernels/types/printable.h"

namespace tovamill {

namespace {

constexpr char kHelp[] = "{document} and {question} are the fields, literal braces are doubled";

// "where, line 2, column 5", counted in characters.
std::string place_of(std::string_view text, std::size_t at, const std::string& where) {
  const std::string_view before = text.substr(0, at);
  const auto line = 1 + std::count(before.begin(), before.end(), '\n');
  const std::size_t newline = before.rfind('\n');
  const std::string_view in_line =
      newline == std::string_view::npos ? before : before.substr(newline + 1);
  const auto column = 1 + std::count_if(in_line.begin(), in_line.end(), [](char c) {
                        return (static_cast<std::uint8_t>(c) & 0xc0) != 0x80;
                      });
  return where + ", line " + std::to_string(line) + ", column " + std::to_string(column);
}

[[noreturn]] void refuse_at(std::string_view text, std::size_t at, const std::string& where,
                            const std::string& problem) {
  throw Error(ExitCode::configuration, place_of(text, at, where) + ": " + problem);
}

// The instruction, and the word that asks for the answer to begin, which base models need.
struct Instruction {
  const char* before;        // alone
  const char* after;         // alone, or behind the document after `announcement`
  const char* announcement;  // before the document, where `after` stands behind it
  const char* cue;
};

// Asked for a few sentences and what to say in them, small models repeat themselves least and end.
constexpr Instruction kSummary{
    "Write a summary of the text below in a few sentences: what kind of text it is, what it is "
    "about, and its main points. Add nothing that the text does not say.",
    "Write a summary of the text above in a few sentences: what kind of text it is, what it is "
    "about, and its main points. Add nothing that the text does not say.",
    "Read the text below. You will be asked to write a short summary of it.", "Summary:"};
constexpr Instruction kFocusedSummary{
    "Write a short summary of the text below that answers the question. Use your own words and add "
    "nothing that the text does not say.\n\nQuestion: {question}",
    "Write a short summary of the text above that answers the question. Use your own words and add "
    "nothing that the text does not say.\n\nQuestion: {question}",
    "Read the text below. You will be asked a question about it.", "Summary:"};
constexpr Instruction kQuestion{
    "Answer the question about the text below. Be brief and use only what the text "
    "says.\n\nQuestion: {question}",
    "Answer the question about the text above. Be brief and use only what the text "
    "says.\n\nQuestion: {question}",
    "Read the text below. You will be asked a question about it.", "Answer:"};

}  // namespace

void PromptTemplate::add_text(std::string_view text) {
  if (text.empty()) return;
  if (parts_.empty() || parts_.back().kind != Part::Kind::text) parts_.push_back({});
  parts_.back().text += text;
}

PromptTemplate PromptTemplate::parse(std::string_view text, const std::string& where) {
  if (const auto at = find_invalid_utf8(text)) refuse_at(text, *at, where, "is not UTF-8");
  if (text.ends_with('\n')) text.remove_suffix(text.ends_with("\r\n") ? 2 : 1);
  if (text.find_first_not_of(" \t\r\n") == std::string_view::npos) {
    throw Error(ExitCode::configuration, where + ": is empty: write an instruction into it");
  }
  PromptTemplate out;
  for (std::size_t at = 0; at < text.size();) {
    const std::size_t brace = std::min(text.find_first_of("{}", at), text.size());
    out.add_text(text.substr(at, brace - at));
    at = brace;
    if (at == text.size()) break;
    if (text.substr(at).starts_with("{{") || text.substr(at).starts_with("}}")) {
      out.add_text(text.substr(at, 1));
      at += 2;
      continue;
    }
    const std::size_t close = text.find_first_of("{}\n", at + 1);
    if (text[at] == '}' || close == std::string_view::npos || text[close] != '}') {
      refuse_at(text, at, where,
                std::string(text[at] == '{' ? "a single '{' (" : "a single '}' (") + kHelp +
                    "): double it");
    }
    const std::string_view name = text.substr(at + 1, close - at - 1);
    if (name != "document" && name != "question") {
      refuse_at(text, at, where, "the field " + printable(name) + " is unknown: " + kHelp);
    }
    const bool document = name == "document";
    if (document && out.has_document()) refuse_at(text, at, where, "{document} is there twice");
    out.parts_.push_back({document ? Part::Kind::document : Part::Kind::question, ""});
    at = close + 1;
  }
  return out;
}

PromptTemplate PromptTemplate::built_in(Task task, InstructionPlace place, bool has_question,
                                        bool is_chat) {
  if (task == Task::continuation) return parse("{document}", "the built-in prompt");
  const Instruction& instruction = task == Task::qa ? kQuestion
                                   : has_question   ? kFocusedSummary
                                                    : kSummary;
  // After a bare "Summary:" small chat models copy sentences of the document.
  const bool has_cue = !is_chat || has_question || task == Task::qa;
  std::string text;
  if (place == InstructionPlace::before) text += instruction.before + std::string("\n\n");
  if (place == InstructionPlace::both) text += instruction.announcement + std::string("\n\n");
  text += "{document}";
  if (place != InstructionPlace::before) text += std::string("\n\n") + instruction.after;
  if (has_cue) text += std::string("\n\n") + instruction.cue;
  return parse(text, "the built-in prompt");
}

PromptTemplate PromptTemplate::around_document(InstructionPlace place) const {
  if (has_document()) return *this;
  PromptTemplate out;
  const auto add_instruction = [&] {
    for (const Part& part : parts_) {
      if (part.kind == Part::Kind::text) {
        out.add_text(part.text);
      } else {
        out.parts_.push_back(part);
      }
    }
  };
  if (place != InstructionPlace::after) {
    add_instruction();
    out.add_text("\n\n");
  }
  out.parts_.push_back({Part::Kind::document, ""});
  if (place != InstructionPlace::before) {
    out.add_text("\n\n");
    add_instruction();
  }
  return out;
}

std::size_t PromptTemplate::document_at() const {
  const auto is_document = [](const Part& part) { return part.kind == Part::Kind::document; };
  return static_cast<std::size_t>(std::find_if(parts_.begin(), parts_.end(), is_document) -
                                  parts_.begin());
}

bool PromptTemplate::has_document() const { return document_at() < parts_.size(); }

bool PromptTemplate::has_question() const {
  return std::any_of(parts_.begin(), parts_.end(),
                     [](const Part& part) { return part.kind == Part::Kind::question; });
}

std::string PromptTemplate::filled(std::size_t begin, std::size_t end,
                                   std::string_view question) const {
  std::string out;
  for (std::size_t i = begin; i < end; ++i) {
    out += parts_[i].kind == Part::Kind::question ? question : std::string_view(parts_[i].text);
  }
  return out;
}

std::string PromptTemplate::before_document(std::string_view question) const {
  return filled(0, document_at(), question);
}

std::string PromptTemplate::after_document(std::string_view question) const {
  return has_document() ? filled(document_at() + 1, parts_.size(), question) : "";
}

}  // namespace tovamill
