// The prompts of a document that is read in one stream: what all of them have in common, once, and
// what each question has behind it.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "engine/tokenizer/tokenizer.h"
#include "io/corpus/corpus.h"
#include "workers/documents/prompting.h"

namespace tovamill {

class Digest;

class DocumentPrompts {
 public:
  DocumentPrompts() = default;  // of a document that is cut into chunks
  // A prompt for each question of the record, or one, about `text`, the part of its text to be
  // read; each is answered `samples` times. rejection() says what the model, of `vocab_size`
  // tokens, cannot take.
  DocumentPrompts(const Prompting& prompting, const CorpusRecord& record, const std::string& text,
                  std::int32_t samples, std::int32_t vocab_size, bool pins_instruction);

  const std::string& rejection() const { return rejection_; }
  // The tokens that all have in common, which are read once for all answers; null where that would
  // not pay.
  const std::shared_ptr<const std::vector<TokenId>>& shared() const { return shared_; }
  std::size_t n_shared() const { return shared_ ? shared_->size() : 0; }
  // The tokens of a question's prompt behind those; one at least.
  const std::vector<TokenId>& tail(std::size_t question) const { return tails_[question]; }
  std::size_t longest_tail() const;
  // Tokens of the leading instruction that never leave.
  std::int32_t pin(std::size_t question) const { return pins_[question]; }
  void add_to(Digest& digest) const;  // all of it

 private:
  void share(const std::vector<TokenId>& first, const std::vector<std::size_t>& n_common,
             std::size_t n_answers);

  std::string rejection_;
  std::shared_ptr<const std::vector<TokenId>> shared_;
  std::vector<std::vector<TokenId>> tails_;
  std::vector<std::int32_t> pins_;
};

// Why a model of `vocab_size` tokens cannot take the prompt; empty where it can.
std::string rejection_of_tokens(const std::vector<TokenId>& ids, std::int32_t vocab_size);

}  // namespace tovamill
