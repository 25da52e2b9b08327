// What the choice of the token that leaves is made on, in the reference, CPU and CUDA backends. Of
// the tokens that may leave, the one with the lowest score does; policies differ in the score (the
// files named after their rules) and in who decides (policies.h).
#pragma once

#include <cmath>
#include <cstdint>

#include "kernels/policy/host_device.h"

namespace tovamill {

enum class Policy : std::uint8_t;  // policies.h

// What a rule remembers of a token from one query to the next.
enum class PolicyMemory : std::uint8_t {
  none,
  sum,      // of its weights: 1 number
  average,  // of its weights, what corrects it for the token's age, the norm of its value: 3
};
constexpr std::int32_t memory_numbers(PolicyMemory memory) {
  return memory == PolicyMemory::none ? 0 : memory == PolicyMemory::sum ? 1 : 3;
}

// A policy as it holds for one block of a stream (decision_rule).
struct DecisionRule {
  Policy policy{};
  std::int32_t cache_size = 0;
  std::int32_t first_free = 0;   // positions below never leave
  std::int32_t recent = 0;       // the newest so many never leave
  float decay = 0.0f;            // of a moving average
  std::uint64_t random_key = 0;  // StepBlock::random_key
};

// Which decision: that of an eviction group of a layer of the whole model, behind the query at
// `now`.
struct Decision {
  std::int32_t now = 0;
  std::int32_t layer = 0, group = 0;
};

// A Number is a float, or a vector of them for as many tokens.
template <class Number>
struct MemoryOf {
  Number sum{};                          // accumulated or averaged weight
  Number decay_power = Number{} + 1.0f;  // decay^n of n queries since the token was appended
  Number value_norm{};                   // L2 norm of its value, the mean over KV heads
};
using TokenMemory = MemoryOf<float>;

// A token to be scored; `memory` holds the newest query already.
template <class Number, class Position>
struct ScoredToken {
  Number weight;  // of the newest query, the mean over the heads that decide
  Position position;
  MemoryOf<Number> memory;
};

// What most rules have in common.
struct RuleDefaults {
  static constexpr bool kIsBounded = true;  // tokens leave
  // Who leaves is found query by query, for it depends on the weights or on who left before; else
  // it follows from positions.
  static constexpr bool kNeedsScan = true;
  static constexpr bool kDraws = false;  // random numbers, by DecisionRule::random_key
};
struct Memoryless : RuleDefaults {
  static constexpr PolicyMemory kMemory = PolicyMemory::none;
  template <class Number>
  TOVAMILL_HOST_DEVICE static void remember(const DecisionRule&, Number, MemoryOf<Number>&) {}
};

// A token that may leave, and its slot; a negative one is none.
struct Candidate {
  float score;
  std::int32_t position;
  std::int32_t slot;
};

TOVAMILL_HOST_DEVICE inline Candidate no_candidate() { return {INFINITY, 0x7fffffff, -1}; }

// Whether the token at `position` may leave after the query at `now`; of vectors, as a mask.
template <class Position>
TOVAMILL_HOST_DEVICE inline auto may_leave(const DecisionRule& rule, Position position,
                                           std::int32_t now) {
  return (position >= rule.first_free) & (position <= now - rule.recent);
}

// Whether `a` leaves before `b`: the lower score, of equal ones the older token; what is not a
// number comes after all numbers.
TOVAMILL_HOST_DEVICE inline bool leaves_before(const Candidate& a, const Candidate& b) {
  if (a.slot < 0 || b.slot < 0) return b.slot < 0 && a.slot >= 0;
  const bool nan_a = a.score != a.score, nan_b = b.score != b.score;
  if (nan_a != nan_b) return nan_b;
  if (!nan_a && a.score != b.score) return a.score < b.score;
  return a.position < b.position;
}

// Numbers in the order of scores in leaves_before: what is not a number is above all numbers, and
// below kOrderOfNone.
inline constexpr std::uint32_t kOrderOfNone = 0xffffffffu;
TOVAMILL_HOST_DEVICE inline std::uint32_t order_of(float score) {
  if (score != score) return kOrderOfNone - 1;
  union {
    float f;
    std::uint32_t u;
  } v{score + 0.0f};  // -0 is 0
  return (v.u & 0x80000000u) != 0 ? ~v.u : v.u | 0x80000000u;
}

}  // namespace tovamill
