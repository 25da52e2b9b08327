// What the tokens of a text are, for the analysis of what a state keeps (Oren et al. 2024, section
// 7): punctuation, the start of a word, a possessive ending, ..., and the tag that a lexicon gives
// their words. io/README.md, "/analysis", has the rules.
#pragma once

#include <array>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "engine/classes/lexicon.h"
#include "engine/tokenizer/tokenizer.h"
#include "kernels/types/token_class.h"

namespace tovamill {

// Of tags: of tokens that belong to no word, and of words that the lexicon does not have. The tags
// of the lexicon follow.
inline constexpr std::array<const char*, 2> kOtherTags{"(none)", "(unknown)"};

// A label per token.
struct TokenLabels {
  std::vector<std::uint8_t> classes;  // TokenClass
  std::vector<std::uint8_t> tags;     // places in TokenClassifier::tags; empty without a lexicon
};

class TokenClassifier {
 public:
  // Keeps the bytes of every token: about 10 for each of the vocabulary. `lexicon` may be null.
  TokenClassifier(const Tokenizer& tokenizer, std::shared_ptr<const Lexicon> lexicon);

  // Of the tokens of one text. A token is what its first character that is no white space is, in
  // the text that all of them spell together; tokens that share a character are the same. Takes a
  // few bytes for each of the text. Thread-safe.
  TokenLabels label(std::span<const TokenId> ids) const;

  // kOtherTags and those of the lexicon; empty without one.
  const std::vector<std::string>& tags() const { return tags_; }

 private:
  std::string_view piece(TokenId id) const;

  std::string pieces_;                // the bytes of all tokens one after another
  std::vector<std::uint32_t> begin_;  // (vocab_size + 1) of pieces_
  std::shared_ptr<const Lexicon> lexicon_;
  std::vector<std::string> tags_;
};

}  // namespace tovamill
