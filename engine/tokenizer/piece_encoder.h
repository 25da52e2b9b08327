// Turns one piece of text into tokens by BPE. The two families differ in what their first symbols
// are: bytes (byte_level_bpe.h) or characters (sentencepiece_bpe.h).
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "engine/tokenizer/merge_table.h"
#include "engine/tokenizer/token_id.h"

namespace tovamill {

// A model's tokens. An id without a token has an empty content.
struct Vocabulary {
  std::vector<std::string> contents;  // by id, as the file spells them
  std::vector<bool> control;          // by id: never the result of ordinary text
  std::unordered_map<std::string, TokenId> ids;

  TokenId find(const std::string& content) const {
    const auto it = ids.find(content);
    return it == ids.end() ? kNoToken : it->second;
  }
  // The ids of the byte tokens <0x00> to <0xFF>, kNoToken where there is none.
  std::vector<TokenId> byte_tokens() const;
};

struct BpeOptions {
  bool byte_fallback =
      false;  // a character without a token becomes its bytes' tokens <0x..>, if all are there
  bool fuse_unknown = false;   // a run of unknown characters becomes one unknown token
  bool ignore_merges = false;  // a piece that is a token as a whole is not built by merges
  TokenId unknown = kNoToken;  // without one, unknown characters are left out
  // Unknown characters are left out after the merges (llama.cpp): nothing is merged across them.
  // Hugging Face leaves them out before.
  bool unknown_separates = false;
};

// Reused by one thread from piece to piece.
struct PieceScratch {
  std::vector<TokenId> symbols;
  MergeScratch merge;
};

class PieceEncoder {
 public:
  virtual ~PieceEncoder() = default;
  // Appends the tokens of `piece` (valid UTF-8, not empty). Thread-safe. O(n log n).
  virtual void encode(std::string_view piece, PieceScratch& scratch,
                      std::vector<TokenId>& ids) const = 0;
};

// Collects the first symbols of a piece, by the rules of Hugging Face's BPE for unknown characters:
// an unknown token waits until the next known one (bytes of a fallback do not release it).
class SymbolRow {
 public:
  static constexpr TokenId kSeparator = -2;  // a symbol without merges that is no token

  SymbolRow(std::vector<TokenId>& symbols, const BpeOptions& options)
      : symbols_(symbols), options_(options) {}

  bool unknown_waits() const { return unknown_waits_; }
  void add(TokenId id) {
    release();
    symbols_.push_back(id);
  }
  void add_fallback(TokenId byte_token) { symbols_.push_back(byte_token); }
  void add_unknown() {
    if (options_.unknown_separates) return symbols_.push_back(kSeparator);
    if (options_.unknown == kNoToken || (unknown_waits_ && options_.fuse_unknown)) return;
    release();
    unknown_waits_ = true;
  }
  void release() {
    if (unknown_waits_) symbols_.push_back(options_.unknown);
    unknown_waits_ = false;
  }

 private:
  std::vector<TokenId>& symbols_;
  const BpeOptions& options_;
  bool unknown_waits_ = false;
};

}  // namespace tovamill
