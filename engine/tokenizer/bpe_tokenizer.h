// The tokenizer that both loaders (hf_tokenizer.cc, gguf_tokenizer.cc) build from their files.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "engine/tokenizer/added_tokens.h"
#include "engine/tokenizer/normalizer.h"
#include "engine/tokenizer/piece_encoder.h"
#include "engine/tokenizer/pre_tokenizer.h"
#include "engine/tokenizer/tokenizer.h"

namespace tovamill {

// How ids are decoded to text.
struct DecodeRules {
  bool byte_level = false;         // contents spell bytes (byte_level_bpe.h)
  bool byte_fallback = false;      // <0x..> is a byte
  std::string space;               // the string for a space in contents; empty: none
  bool drop_first_space = false;   // a space at the start of the text is dropped
  bool drop_first_spaces = false;  // the spaces of the first token are dropped
};

struct TokenizerParts {
  std::string family;     // for the description: "byte-level BPE"
  std::string note;       // the same, behind it
  std::string digest;     // see Tokenizer::digest
  Vocabulary vocabulary;  // added tokens included
  std::vector<AddedToken> added;
  Normalizer normalizer;
  PreTokenizer pre_tokenizer;
  std::unique_ptr<PieceEncoder> encoder;
  DecodeRules decode;
  std::optional<TokenId> bos, eos;
  std::vector<TokenId> leading, trailing;  // before and behind a text
};

class BpeTokenizer final : public Tokenizer {
 public:
  explicit BpeTokenizer(TokenizerParts parts);

  void encode(std::string_view text, bool parse_special, std::vector<TokenId>& ids) const override {
    encode_with(parse_special ? all_ : plain_, text, true, ids);
  }
  void encode_behind_control(std::string_view text, std::vector<TokenId>& ids) const override {
    encode_with(plain_, text, false, ids);
  }
  std::string decode(const std::vector<TokenId>& ids, bool keep_special) const override;

  std::int32_t vocab_size() const override {
    return static_cast<std::int32_t>(parts_.vocabulary.contents.size());
  }
  std::optional<TokenId> bos_id() const override { return parts_.bos; }
  std::optional<TokenId> eos_id() const override { return parts_.eos; }
  const std::vector<TokenId>& leading() const override { return parts_.leading; }
  const std::vector<TokenId>& trailing() const override { return parts_.trailing; }
  std::optional<TokenId> id_of(std::string_view content) const override;
  std::string description() const override;
  std::string digest() const override { return parts_.digest; }

 private:
  // Added tokens are searched for in the original text, then in the normalised text.
  struct Matchers {
    AddedTokenMatcher raw, normalized;
  };

  void encode_with(const Matchers& matchers, std::string_view text, bool at_start,
                   std::vector<TokenId>& ids) const;
  void encode_text(std::string_view text, bool at_start, PieceScratch& scratch,
                   std::vector<TokenId>& ids) const;
  std::string bytes_of(TokenId id, bool first) const;

  TokenizerParts parts_;
  std::vector<bool> is_added_;  // by id
  Matchers plain_, all_;        // without and with control tokens
};

}  // namespace tovamill
