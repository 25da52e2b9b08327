// Random numbers that are the same on every machine and library: SplitMix64 (Steele, Lea, Flood
// 2014).
#pragma once

#include <cstddef>
#include <cstdint>
#include <initializer_list>
#include <utility>
#include <vector>

#include "io/model/random_weights.h"

namespace tovamill {

class ProbeRandom {
 public:
  // Of several numbers, each of which gives another sequence.
  ProbeRandom(std::initializer_list<std::uint64_t> seeds) {
    for (const std::uint64_t seed : seeds) state_ = next() ^ seed;
  }

  std::uint64_t next() { return splitmix(state_ += kSplitMixStep); }
  // Each of 0 to n - 1 as likely as the others; n > 0.
  std::uint64_t below(std::uint64_t n) {
    const std::uint64_t rest = (0 - n) % n;  // 2^64 mod n: so many of the first are left out
    std::uint64_t x = next();
    while (x < rest) x = next();
    return x % n;
  }
  template <class T>
  void shuffle(std::vector<T>& values) {
    for (std::size_t i = values.size(); i > 1; --i)
      std::swap(values[i - 1], values[static_cast<std::size_t>(below(i))]);
  }

 private:
  std::uint64_t state_ = 0;
};

}  // namespace tovamill
