// Two tokens side by side as a key, and its hash.
#pragma once

#include <cstddef>
#include <cstdint>

#include "engine/tokenizer/piece_encoder.h"

namespace tovamill {

inline std::uint64_t pair_of(TokenId left, TokenId right) {
  return static_cast<std::uint64_t>(static_cast<std::uint32_t>(left)) << 32 |
         static_cast<std::uint32_t>(right);
}

inline std::size_t hash_of(std::uint64_t pair) {
  pair *= 0x9e3779b97f4a7c15;  // 2^64 / golden ratio
  return static_cast<std::size_t>(pair ^ pair >> 29);
}

}  // namespace tovamill
