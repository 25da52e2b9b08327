// Which token leaves: what the scan and the decoding kernel decide by, one function each, the same
// on host and device, so that tests hold them against the reference (reference/policy.cc).
#pragma once

#include <cmath>
#include <cstdint>

#include "kernels/cuda/device/device_code.h"

namespace tovamill::cuda {

// What a decision is made on (kernels/README.md, "Policies").
enum class Rule : std::int32_t {
  newest_weight,   // tova
  accumulated,     // h2o
  moving_average,  // tova-ema
  oldest,          // window
  none,            // full
};

// A policy as it holds for one block (block_options).
struct DecisionRule {
  Rule rule = Rule::none;
  std::int32_t cache_size = 0;
  std::int32_t first_free = 0;  // positions below never leave
  std::int32_t recent = 0;      // the newest so many never leave
  float decay = 0.0f;           // moving_average
};

// What a policy keeps of a token.
struct TokenMemory {
  float sum = 0.0f;          // accumulated or averaged weight
  float decay_power = 1.0f;  // decay^n of n queries since its birth
  float value_norm = 0.0f;   // L2 norm of its value, the mean over KV heads
};

// A token that may leave; `column` < 0 is none.
struct Candidate {
  float score;
  std::int32_t position;
  std::int32_t column;
};

__host__ __device__ inline Candidate no_candidate() { return {INFINITY, 0x7fffffff, -1}; }

// Whether the token at `position` may leave after the query at `now`.
__host__ __device__ inline bool may_leave(const DecisionRule& rule, std::int32_t position,
                                          std::int32_t now) {
  return position >= rule.first_free && position <= now - rule.recent;
}

// Takes the newest query's weight of a token into what is kept of it.
__host__ __device__ inline void remember(const DecisionRule& rule, float weight,
                                         TokenMemory& memory) {
  if (rule.rule == Rule::accumulated) {
    memory.sum += weight;
  } else if (rule.rule == Rule::moving_average) {
    memory.sum = memory.sum * rule.decay + weight * (1.0f - rule.decay);
    memory.decay_power *= rule.decay;
  }
}

// What is compared: the lowest leaves. `weight` is the newest query's, `memory` after `remember`.
__host__ __device__ inline float score_of(const DecisionRule& rule, float weight,
                                          const TokenMemory& memory) {
  switch (rule.rule) {
    case Rule::newest_weight:
      return weight;
    case Rule::accumulated:
      return memory.sum;
    case Rule::moving_average:
      return memory.sum / (1.0f - memory.decay_power) * memory.value_norm;
    case Rule::oldest:
      return 0.0f;  // of equal scores the oldest leaves
    case Rule::none:
      break;
  }
  return INFINITY;
}

// Whether `a` leaves before `b`: the lower score, of equal ones the older token; what is not a
// number comes after all numbers.
__host__ __device__ inline bool leaves_before(const Candidate& a, const Candidate& b) {
  if (a.column < 0 || b.column < 0) return b.column < 0 && a.column >= 0;
  const bool nan_a = a.score != a.score, nan_b = b.score != b.score;
  if (nan_a != nan_b) return nan_b;
  if (!nan_a && a.score != b.score) return a.score < b.score;
  return a.position < b.position;
}

// Numbers in the order of scores in leaves_before: what is not a number is above all numbers, and
// below kOrderOfNone.
inline constexpr std::uint32_t kOrderOfNone = 0xffffffffu;
__host__ __device__ inline std::uint32_t order_of(float score) {
  if (score != score) return kOrderOfNone - 1;
  union {
    float f;
    std::uint32_t u;
  } v{score + 0.0f};  // -0 is 0
  return (v.u & 0x80000000u) != 0 ? ~v.u : v.u | 0x80000000u;
}

}  // namespace tovamill::cuda
