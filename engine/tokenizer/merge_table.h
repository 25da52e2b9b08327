// The merges of a BPE model, applied to a sequence of symbols (Sennrich et al. 2016): the pair of
// lowest rank is merged, the leftmost of equal ones first, until no pair is in the table.
#pragma once

#include <cstdint>
#include <vector>

#include "engine/tokenizer/token_id.h"

namespace tovamill {

struct Merge {
  TokenId left, right;
  std::uint32_t rank;
  TokenId result;
};

// Reused by one thread from call to call.
struct MergeScratch {
  struct Candidate {
    std::uint32_t rank, position;
    TokenId result;
  };
  struct Links {
    std::uint32_t previous, next;
  };
  std::vector<Candidate> candidates;
  std::vector<Links> links;
};

class MergeTable {
 public:
  // If a pair has two merges, the later one counts.
  explicit MergeTable(const std::vector<Merge>& merges);

  // Merges `symbols` in place. O(n log n). Throws BadData for more than 2^32 - 2 symbols.
  void apply(std::vector<TokenId>& symbols, MergeScratch& scratch) const;

 private:
  struct Entry {
    std::uint64_t pair = kNone;
    std::uint32_t rank = kNoRank;
    TokenId result = -1;
  };
  static constexpr std::uint64_t kNone = ~std::uint64_t{0};
  static constexpr std::uint32_t kNoRank = ~std::uint32_t{0};

  // An entry with rank kNoRank where the pair cannot be merged.
  const Entry& find(TokenId left, TokenId right) const;
  void apply_short(std::vector<TokenId>& symbols, MergeScratch& scratch) const;
  void apply_long(std::vector<TokenId>& symbols, MergeScratch& scratch) const;

  std::vector<Entry> entries_;  // open addressing, a power of two
  std::size_t mask_ = 0;
};

}  // namespace tovamill
