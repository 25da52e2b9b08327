// Passes over the logits of one token, written so that compilers vectorise them: lanes are spelled
// out, for the order of a sum and the treatment of NaN must not depend on the machine.
#pragma once

#include <algorithm>
#include <bit>
#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "engine/token_id.h"

namespace tovamill {

// The highest; NaN is passed over. -infinity where there is none.
float highest_logit(std::span<const float> logits);
// The first id whose logit is `value`; kNoToken where there is none.
TokenId first_with_logit(std::span<const float> logits, float value);

// e^x for x <= 0 to 2 ulp; 0 below -708 and for NaN. Made of additions and products only: the same
// bits on every machine, and vectorised in a loop.
inline double decay(double x) {
  constexpr double kShift = 0x1.8p52;  // a double this large has no fraction bits
  constexpr double kLog2E = 0x1.71547652b82fep0;
  constexpr double kLn2High = 0x1.62e42feep-1, kLn2Low = 0x1.a39ef35793c76p-33;
  const double shifted = x * kLog2E + kShift;
  const double n = shifted - kShift;
  const double r = (x - n * kLn2High) - n * kLn2Low;  // |r| <= ln(2) / 2
  double sum = 1.0 / 6227020800.0;                    // Taylor, to r^13 / 13!
  sum = sum * r + 1.0 / 479001600.0;
  sum = sum * r + 1.0 / 39916800.0;
  sum = sum * r + 1.0 / 3628800.0;
  sum = sum * r + 1.0 / 362880.0;
  sum = sum * r + 1.0 / 40320.0;
  sum = sum * r + 1.0 / 5040.0;
  sum = sum * r + 1.0 / 720.0;
  sum = sum * r + 1.0 / 120.0;
  sum = sum * r + 1.0 / 24.0;
  sum = sum * r + 1.0 / 6.0;
  sum = sum * r + 0.5;
  sum = sum * r + 1.0;
  sum = sum * r + 1.0;
  const auto power = (std::bit_cast<std::uint64_t>(shifted) + 1023) << 52;  // 2^n
  const double value = sum * std::bit_cast<double>(power);
  return x > -708.0 ? value : 0.0;
}

// A logit's probability over that of the highest.
struct RelativeProbability {
  double highest = 0.0;
  double inverse_temperature = 1.0;

  double operator()(float logit) const {
    return decay((static_cast<double>(logit) - highest) * inverse_temperature);
  }
};

inline constexpr std::size_t kScanBlock = 256;  // logits
// The sum of the relative probabilities, and in `blocks` those of each kScanBlock logits.
double sum_probabilities(std::span<const float> logits, const RelativeProbability& probability,
                         std::vector<double>& blocks);

// Calls `take(id)`, which returns the threshold from there on, for every logit above the threshold,
// in ascending order.
template <typename Take>
void for_each_above(std::span<const float> logits, float threshold, Take take) {
  constexpr std::size_t kBlock = 64;
  for (std::size_t begin = 0; begin < logits.size(); begin += kBlock) {
    const std::size_t end = std::min(begin + kBlock, logits.size());
    int any = 0;
    for (std::size_t i = begin; i < end; ++i) any |= logits[i] > threshold;
    if (!any) continue;
    for (std::size_t i = begin; i < end; ++i) {
      if (logits[i] > threshold) threshold = take(static_cast<TokenId>(i));
    }
  }
}

}  // namespace tovamill
