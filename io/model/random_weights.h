// Random numbers that are functions of a counter alone: the same on every machine, with any number
// of threads.
#pragma once

#include <cstdint>
#include <span>

namespace tovamill {

// SplitMix64 (Steele, Lea, Flood 2014): its state grows by kSplitMixStep, its output is splitmix of
// that.
inline constexpr std::uint64_t kSplitMixStep = 0x9e3779b97f4a7c15u;
constexpr std::uint64_t splitmix(std::uint64_t x) {
  x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9u;
  x = (x ^ (x >> 27)) * 0x94d049bb133111ebu;
  return x ^ (x >> 31);
}

// 64 random bits of a counter.
constexpr std::uint64_t random_bits(std::uint64_t counter) {
  return splitmix((counter + 1) * kSplitMixStep);
}

// Weights as bf16, nearly normal with the standard deviation 0.02; the i-th is a function of i. By
// as many threads as there are cores, at most 16.
void fill_with_random_weights(std::span<std::uint16_t> weights);

}  // namespace tovamill
