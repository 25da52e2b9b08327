// Passes over the logits of one token, written so that compilers vectorise them: lanes are spelled
// out, for the order of a sum and the treatment of NaN must not depend on the machine.
#pragma once

#include <algorithm>
#include <bit>
#include <cstddef>
#include <cstdint>
#include <span>
#include <type_traits>
#include <vector>

#include "engine/tokenizer/token_id.h"

namespace tovamill {

// The highest; NaN is passed over. -infinity where there is none.
float highest_logit(std::span<const float> logits);
// The first id whose logit is `value`; kNoToken where there is none.
TokenId first_with_logit(std::span<const float> logits, float value);

// Two float64 numbers: what every x86-64 and aarch64 machine has.
typedef double DoublePair __attribute__((vector_size(16)));
typedef std::uint64_t BitsPair __attribute__((vector_size(16)));

// e^x for x <= 0 to 2 ulp, of a double or a DoublePair; 0 below -708 and for NaN. Made of additions
// and products only, so that it has the same bits on every machine.
template <typename Real>
inline Real decay(Real x) {
  using Bits = std::conditional_t<std::is_same_v<Real, double>, std::uint64_t, BitsPair>;
  constexpr double kShift = 0x1.8p52;  // a double this large has no fraction bits
  constexpr double kLog2E = 0x1.71547652b82fep0;
  constexpr double kLn2High = 0x1.62e42feep-1, kLn2Low = 0x1.a39ef35793c76p-33;
  const Real shifted = x * kLog2E + kShift;
  const Real n = shifted - kShift;
  const Real r = (x - n * kLn2High) - n * kLn2Low;  // |r| <= ln(2) / 2
  // Taylor to r^13 / 13!, by halves (Estrin) rather than one term after the other.
  const Real r2 = r * r, r4 = r2 * r2;
  const Real low = (1.0 + r) + r2 * (0.5 + r * (1.0 / 6.0));
  const Real middle = (1.0 / 24 + r * (1.0 / 120)) + r2 * (1.0 / 720 + r * (1.0 / 5040));
  const Real high =
      (1.0 / 40320 + r * (1.0 / 362880)) + r2 * (1.0 / 3628800 + r * (1.0 / 39916800));
  const Real last = 1.0 / 479001600 + r * (1.0 / 6227020800);
  const Real sum = low + r4 * (middle + r4 * (high + r4 * last));
  const Real power = std::bit_cast<Real>((std::bit_cast<Bits>(shifted) + 1023) << 52);  // 2^n
  return x > -708.0 ? sum * power : Real{};
}

// A logit's probability over that of the highest.
struct RelativeProbability {
  double highest = 0.0;
  double inverse_temperature = 1.0;

  double operator()(float logit) const {
    return decay((static_cast<double>(logit) - highest) * inverse_temperature);
  }
  DoublePair operator()(float first, float second) const {
    return decay((DoublePair{first, second} - highest) * inverse_temperature);
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
