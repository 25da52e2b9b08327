// What a model reads for one answer: the chat template, an instruction and the document, as token
// ids. Control tokens come from the chat template only: whatever document and question hold is
// ordinary text.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "engine/prompt/chat_template.h"
#include "engine/prompt/generated_text.h"
#include "engine/tokenizer/token_id.h"
#include "engine/tokenizer/tokenizer.h"

namespace tovamill {

enum class Task : std::uint8_t { summary, qa, continuation };
// Where a built-in instruction, or one of --prompt without {document}, stands.
enum class InstructionPlace : std::uint8_t { before, after, both };

// Text with `{document}` and `{question}`; literal braces are doubled.
class PromptTemplate {
 public:
  // One newline at the very end, which editors put there, is not part of it. Throws
  // Error(configuration) naming `where`, line and column (in characters, from 1): an unknown field,
  // a single brace, `{document}` twice, text that is not UTF-8, nothing but white space.
  static PromptTemplate parse(std::string_view text, const std::string& where);
  // The built-in one. `has_question`: the record asks something (a summary is then focused on it);
  // qa always has one. With `both`, what stands before the document does not say the question, so
  // that it is the same for all questions about a document. `is_chat`: a chat template asks for the
  // answer to begin, so that a summary without a question needs no "Summary:" at the end.
  static PromptTemplate built_in(Task task, InstructionPlace place, bool has_question,
                                 bool is_chat = false);
  // An instruction without {document} around a document, an empty line between them; one that has
  // {document} stays as it is.
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
  void add_text(std::string_view text);
  std::string filled(std::size_t begin, std::size_t end, std::string_view question) const;
  std::size_t document_at() const;  // index of the part; parts_.size() where there is none

  std::vector<Part> parts_;
};

// The ids of a prompt.
struct PromptIds {
  std::vector<TokenId> ids;
  // How many of them at the front are the same whatever the document: those before its first token,
  // less what tokens over the border take of the text before it.
  std::size_t n_leading = 0;
};

// Puts prompts together for one model. Control tokens are found in what the chat template says,
// never in what comes from a record. All text between two of them, the template's, the
// instruction's and the document's, is joined and tokenised at once, so that the ids are those of
// Hugging Face's `apply_chat_template` where the texts hold no control tokens.
class PromptBuilder {
 public:
  // `bos` is put first unless the chat template begins with that token; apply_chat_template puts
  // the tokenizer's where `chat.starts_with_bos`. The tokenizer outlives the object. Throws
  // Error(configuration) naming a control token of a named chat template that the tokenizer does
  // not have, and where the ids of a model's own are not those of its whole text.
  PromptBuilder(const Tokenizer& tokenizer, ChatTemplate chat, std::optional<TokenId> bos);

  // Puts `ids` first, in place of a BOS.
  void begin_with(std::vector<TokenId> ids) { leading_ = std::move(ids); }

  // Throws UnencodableText, also where the chat template refuses the message. A template without a
  // document leaves `document` out.
  PromptIds build(const PromptTemplate& prompt, std::string_view document,
                  std::string_view question) const;
  // The ids that end an answer: the chat template's.
  const std::vector<TokenId>& end_ids() const { return end_ids_; }
  // Of answers in the format of gpt-oss; none where they are texts as they are.
  const std::optional<AnswerChannels>& channels() const { return channels_; }

 private:
  // Control tokens and texts in turn.
  struct Run {
    std::optional<TokenId> control;
    std::string text;
  };
  // Which white space a control token takes with it.
  struct Strips {
    bool before = false, behind = false;
  };
  std::vector<Run> runs_of(JinjaTextView text) const;
  void split_template_text(const std::string& text, std::vector<Run>& runs) const;
  void strip(std::vector<Run>& runs) const;
  Strips strips_of(TokenId id) const;
  std::vector<TokenId> ids_of(const std::vector<Run>& runs) const;
  void check_ids() const;
  void find_end_ids();
  void find_channels();

  const Tokenizer& tokenizer_;
  ChatTemplate chat_;
  std::optional<TokenId> bos_;
  std::vector<TokenId> leading_;
  std::vector<TokenId> end_ids_;
  std::optional<AnswerChannels> channels_;
};

}  // namespace tovamill
