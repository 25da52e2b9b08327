// Unigram language models (Kudo 2018): of all ways to cut a piece into tokens the one whose scores
// add up to most, as Hugging Face `tokenizers` computes it: sums in float64 from left to right,
// of equal ones the first found; a character that is no token costs 10 more than the lowest score;
// a run of such characters becomes one unknown token, or its bytes' tokens <0x..>.
//
// A piece may be a whole book. What stands before a place that no token reaches across is settled
// there, so that memory follows the longest stretch without such a place, not the piece.
#pragma once

#include <cstdint>
#include <vector>

#include "engine/tokenizer/piece_encoder.h"

namespace tovamill {

struct UnigramOptions {
  TokenId unknown = kNoToken;  // without one, a text that needs it throws UnencodableText
  bool byte_fallback = false;
};

class Unigram final : public PieceEncoder {
 public:
  // `scores` by id; control tokens are not made. `where` names the file in messages.
  Unigram(const Vocabulary& vocabulary, const std::vector<double>& scores,
          const UnigramOptions& options, const std::string& where);

  void encode(std::string_view piece, PieceScratch& scratch,
              std::vector<TokenId>& ids) const override;

 private:
  // A node of the trie of all tokens; its children lie together, their bytes ascending.
  struct Node {
    std::uint32_t children = 0;  // the first one, in nodes_
    std::uint16_t n_children = 0;
    std::uint8_t byte = 0;
    TokenId token = kNoToken;  // that ends here
  };
  // Of a place in the piece: how the best way to it ends.
  struct Step {
    double score = 0;
    std::size_t begin = 0;
    TokenId token = kNoToken;
    bool reached = false;
  };
  struct Sorted;

  void build(const std::vector<Sorted>& tokens);
  const Node* child(const Node& node, std::uint8_t byte) const;
  std::size_t try_tokens(std::string_view piece, std::size_t begin, std::size_t base,
                         std::vector<Step>& steps) const;
  void settle(std::string_view piece, std::size_t base, std::size_t end,
              const std::vector<Step>& steps, std::string& unknown,
              std::vector<TokenId>& ids) const;
  void flush(std::string& unknown, std::vector<TokenId>& ids) const;

  UnigramOptions options_;
  std::string where_;
  std::vector<double> scores_;
  double unknown_score_ = 0;
  std::vector<Node> nodes_;  // the root first
  std::vector<TokenId> byte_tokens_;
};

}  // namespace tovamill
