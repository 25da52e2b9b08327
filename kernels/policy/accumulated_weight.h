// H2O (Zhang et al. 2023): the token leaves that all queries so far have attended to least.
#pragma once

#include "kernels/policy/decision.h"

namespace tovamill {

struct AccumulatedWeight : RuleDefaults {
  static constexpr PolicyMemory kMemory = PolicyMemory::sum;
  template <class Number>
  TOVAMILL_HOST_DEVICE static void remember(const DecisionRule&, Number weight,
                                            MemoryOf<Number>& memory) {
    memory.sum += weight;
  }
  template <class Number, class Position>
  TOVAMILL_HOST_DEVICE static Number score(const DecisionRule&, const Decision&,
                                           const ScoredToken<Number, Position>& token) {
    return token.memory.sum;
  }
};

}  // namespace tovamill
