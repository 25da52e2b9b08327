// From a record to the prompts of its answers: which template, how much of the document, and where
// a long document is cut into chunks.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "engine/prompt/prompt.h"
#include "engine/tokenizer/tokenizer.h"
#include "io/corpus/corpus.h"
#include "io/model/model_files.h"
#include "workers/options/run_options.h"

namespace tovamill {

class Prompting {
 public:
  // Throws Error(configuration, usage) for a chat template or prompt that cannot be used with the
  // model.
  Prompting(const ModelFiles& files, const Tokenizer& tokenizer, const RunOptions& options);

  // How many questions of the record are asked: 0 where the prompt asks none.
  std::size_t n_questions(const CorpusRecord& record) const;
  // Why the record cannot be asked; empty where it can.
  std::string rejection(const CorpusRecord& record) const;
  // The document's text, less what --max-document-tokens leaves out.
  std::string shortened(std::string_view document) const;
  // Chunks of at most `n_tokens` each, cut between characters; one where all fits. Of more tokens
  // where they would be more than `most` chunks (0: any number).
  std::vector<std::string> chunks(std::string_view text, std::int32_t n_tokens,
                                  std::size_t most = 0) const;
  PromptIds prompt(std::string_view text, const std::string* question) const;

  const std::vector<TokenId>& end_ids() const { return end_ids_; }  // ascending
  // Of answers in the format of gpt-oss.
  const std::optional<AnswerChannels>& channels() const { return chat_->channels(); }
  std::string description() const { return description_; }  // "chat template chatml, task summary"

 private:
  // Whether texts may be continued as they are, without the chat template.
  bool may_be_bare() const;

  const PromptTemplate& prompt_for(bool has_question) const {
    return has_question ? with_question_ : without_question_;
  }

  const Tokenizer& tokenizer_;
  const RunOptions& options_;
  TaskChoice task_;
  ChatTemplate template_;
  PromptTemplate with_question_, without_question_;
  std::optional<PromptBuilder> chat_, plain_;  // plain: of a bare continuation
  std::vector<TokenId> end_ids_;
  std::string description_;
};

}  // namespace tovamill
