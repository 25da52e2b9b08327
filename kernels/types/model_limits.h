// The most that a model's configuration may ask for: checked where it is read, and what backends
// reckon with where they need a bound.
#pragma once

#include <cstdint>

namespace tovamill {

inline constexpr std::int32_t kMaxLayers = 4096;
inline constexpr std::int32_t kMaxHiddenSize = 1 << 20;
inline constexpr std::int32_t kMaxIntermediateSize = 1 << 22;
inline constexpr std::int32_t kMaxHeads = 4096;  // query heads, and KV heads
inline constexpr std::int32_t kMaxHeadDim = 512;
inline constexpr std::int32_t kMaxExperts = 1024;    // of a layer
inline constexpr std::int32_t kMaxUsedExperts = 64;  // by a token
inline constexpr std::int32_t kMaxVocabSize = 1 << 24;

}  // namespace tovamill
