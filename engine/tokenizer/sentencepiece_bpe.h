// BPE over characters with byte fallback, as SentencePiece's (Kudo and Richardson 2018) and Hugging
// Face's conversions of it do: the text is not cut into words, so one piece may be a whole book.
//
// It is still cut where no merge can reach across: between two first symbols a, b such that no
// merge joins a token that ends in a with a token that begins with b. That does not change the
// result and keeps the sequences short.
#pragma once

#include <array>
#include <cstdint>
#include <memory>
#include <unordered_map>

#include "engine/tokenizer/piece_encoder.h"
#include "engine/tokenizer/word_table.h"

namespace tovamill {

class SentencePieceBpe final : public PieceEncoder {
 public:
  // Merges of two tokens of the vocabulary, by rank.
  SentencePieceBpe(const Vocabulary& vocabulary, const std::vector<Merge>& merges,
                   const BpeOptions& options);

  // As llama.cpp does for GGUF's tokenizer model "llama": any two neighbours may be joined whose
  // joint text is a token, the highest score first. `scores` by id; control tokens are not made.
  static std::unique_ptr<SentencePieceBpe> from_scores(const Vocabulary& vocabulary,
                                                       const std::vector<float>& scores,
                                                       const BpeOptions& options);

  void encode(std::string_view piece, PieceScratch& scratch,
              std::vector<TokenId>& ids) const override;

 private:
  // A first symbol for characters that are no token but take part in merges; numbered from the
  // vocabulary's size on.
  using Extra = std::vector<std::string>;

  SentencePieceBpe(const Vocabulary& vocabulary, const std::vector<Merge>& merges,
                   const BpeOptions& options, Extra extra);

  void note_borders(const Vocabulary& vocabulary, const std::vector<Merge>& merges);
  void note_words(const Vocabulary& vocabulary);
  TokenId token_of(char32_t c) const;
  TokenId first_symbol(std::string_view character, TokenId token) const;
  bool may_join(TokenId a, TokenId b) const;
  void finish_row(std::string_view text, PieceScratch& scratch, std::vector<TokenId>& ids) const;

  BpeOptions options_;
  TokenId n_tokens_ = 0;
  Extra extra_;
  std::array<TokenId, 128> ascii_{};
  std::unordered_map<char32_t, TokenId> characters_;
  std::vector<TokenId> byte_tokens_;
  MergeTable merges_;
  std::vector<std::uint64_t>
      joins_;         // open addressing: pairs of first symbols that a merge may join
  WordTable rows_;    // texts between two cuts that are one token
  WordTable pieces_;  // with ignore_merges: pieces that are one token
};

}  // namespace tovamill
