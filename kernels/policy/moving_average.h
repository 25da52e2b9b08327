// The token leaves whose a / (1 - L^n) * norm is lowest: `a` is the moving average a <- L a + (1 -
// L) w of its weights w over the n queries since it was appended, divided by what it began too low
// with, `norm` the L2 norm of its value, averaged over KV heads.
#pragma once

#include "kernels/policy/decision.h"

namespace tovamill {

struct MovingAverage : RuleDefaults {
  static constexpr PolicyMemory kMemory = PolicyMemory::average;
  template <class Number>
  TOVAMILL_HOST_DEVICE static void remember(const DecisionRule& rule, Number weight,
                                            MemoryOf<Number>& memory) {
    memory.sum = memory.sum * rule.decay + weight * (1.0f - rule.decay);
    memory.decay_power = memory.decay_power * rule.decay;
  }
  template <class Number, class Position>
  TOVAMILL_HOST_DEVICE static Number score(const DecisionRule&, const Decision&,
                                           const ScoredToken<Number, Position>& token) {
    const MemoryOf<Number>& m = token.memory;
    return m.sum / (1.0f - m.decay_power) * m.value_norm;
  }
};

}  // namespace tovamill
