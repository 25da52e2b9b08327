// Byte-level BPE (Radford et al. 2019, GPT-2): the first symbols are the bytes of the text, which
// the vocabulary spells as 256 printable characters.
#pragma once

#include <array>
#include <cstdint>

#include "engine/tokenizer/piece_encoder.h"
#include "engine/tokenizer/word_table.h"

namespace tovamill {

// The character that stands for `byte` (UTF-8): itself where printable, else one from U+0100 on.
std::string byte_level_character(std::uint8_t byte);

// The bytes that `token` spells; nullopt if it holds a character that stands for none.
std::optional<std::string> byte_level_bytes(std::string_view token);

class ByteLevelBpe final : public PieceEncoder {
 public:
  ByteLevelBpe(const Vocabulary& vocabulary, const std::vector<Merge>& merges,
               const BpeOptions& options);

  void encode(std::string_view piece, PieceScratch& scratch,
              std::vector<TokenId>& ids) const override;

 private:
  // The first symbol of a byte: its token, or the fallback's, or unknown.
  struct ByteSymbols {
    TokenId token = kNoToken;
    std::array<TokenId, 2> fallback{kNoToken,
                                    kNoToken};  // of the UTF-8 bytes of the byte's character
    int n_fallback = 0;
  };

  void encode_by_merges(std::string_view piece, PieceScratch& scratch) const;

  BpeOptions options_;
  std::array<ByteSymbols, 256> bytes_;
  MergeTable merges_;
  WordTable words_;  // the pieces that are one token
};

}  // namespace tovamill
