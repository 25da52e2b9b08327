// Texts that are one token each: they need no merges.
#pragma once

#include <cstdint>
#include <cstring>
#include <string>
#include <string_view>
#include <vector>

#include "engine/tokenizer/token_id.h"

namespace tovamill {

class WordTable {
 public:
  WordTable() : slots_(16) {}

  void insert(std::string_view word, TokenId id);
  // The id of `word`, or kNoToken.
  TokenId find(std::string_view word) const {
    if (word.size() > longest_) return kNoToken;
    const std::uint64_t hash = hash_of(word);
    for (std::size_t at = hash & (slots_.size() - 1);; at = (at + 1) & (slots_.size() - 1)) {
      const Slot& slot = slots_[at];
      if (slot.id == kNoToken) return kNoToken;
      if (slot.hash == static_cast<std::uint32_t>(hash >> 32) && view(slot) == word) return slot.id;
    }
  }

 private:
  struct Slot {
    std::uint32_t hash = 0;  // upper half
    std::uint32_t length = 0;
    std::uint64_t begin = 0;  // in bytes_
    TokenId id = kNoToken;
  };

  // Eight bytes at a time, multiply and fold (after wyhash).
  static std::uint64_t hash_of(std::string_view word) {
    constexpr std::uint64_t kFactor = 0x9e3779b97f4a7c15;
    std::uint64_t hash = word.size() * kFactor;
    const auto mix = [&](std::uint64_t block) {
      const auto product = static_cast<unsigned __int128>(hash ^ block) * kFactor;
      hash = static_cast<std::uint64_t>(product) ^ static_cast<std::uint64_t>(product >> 64);
    };
    std::uint64_t block = 0;
    for (; word.size() >= 8; word.remove_prefix(8)) {
      std::memcpy(&block, word.data(), 8);
      mix(block);
    }
    block = 0;
    std::memcpy(&block, word.data(), word.size());
    mix(block);
    return hash;
  }

  std::string_view view(const Slot& slot) const {
    return {bytes_.data() + slot.begin, slot.length};
  }
  void place(const Slot& slot, std::uint64_t hash);

  std::vector<Slot> slots_;  // open addressing, a power of two
  std::string bytes_;        // the words, one behind the other
  std::size_t n_words_ = 0;
  std::size_t longest_ = 0;
};

}  // namespace tovamill
