// What a model reads for one answer: the chat template, an instruction and the document, as token
// ids. Control tokens come from the chat template only: whatever document and question hold is
// ordinary text.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "engine/chat_template.h"
#include "engine/token_id.h"
#include "engine/tokenizer.h"

namespace tovamill {

enum class Task : std::uint8_t { summary, qa, continuation };
// Where a built-in instruction, or one of --prompt without {document}, stands.
enum class InstructionPlace : std::uint8_t { before, after, both };

// Text with `{document}` and `{question}`; literal braces are doubled.
class PromptTemplate {
 public:
  // Throws Error(configuration) naming `where`, line and column: an unknown field, a single brace,
  // `{document}` twice, text that is not UTF-8.
  static PromptTemplate parse(std::string_view text, const std::string& where);
  // The built-in one. `has_question`: the record asks something (a summary is then focused on it).
  static PromptTemplate built_in(Task task, InstructionPlace place, bool has_question);
  // An instruction without {document} around a document.
  PromptTemplate around_document(InstructionPlace place) const;

  bool has_document() const;
  bool has_question() const;
  // What stands before the document, and behind it. A template without a document is all `before`.
  std::string before_document(std::string_view question) const;
  std::string after_document(std::string_view question) const;

 private:
  struct Part {
    enum class Kind : std::uint8_t { text, document, question } kind = Kind::text;
    std::string text;
  };
  std::vector<Part> parts_;
};

// The ids of a prompt.
struct PromptIds {
  std::vector<TokenId> ids;
  std::size_t n_leading = 0;  // of them before the document's first token
};

// Puts prompts together for one model.
class PromptBuilder {
 public:
  // `bos` is put first unless the chat template has it. Throws Error(configuration) naming a
  // control token of the chat template that the tokenizer does not have.
  PromptBuilder(const Tokenizer& tokenizer, ChatTemplate chat, std::optional<TokenId> bos);

  PromptIds build(const PromptTemplate& prompt, std::string_view document,
                  std::string_view question) const;
  // The ids that end an answer: the chat template's.
  const std::vector<TokenId>& end_ids() const { return end_ids_; }

 private:
  const Tokenizer& tokenizer_;
  ChatTemplate chat_;
  std::optional<TokenId> bos_;
  std::vector<TokenId> end_ids_;
};

}  // namespace tovamill
