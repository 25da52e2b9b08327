// The oldest token leaves (Window+i; Xiao et al. 2024): which one when follows from positions
// alone. And `full`, of which none does.
#pragma once

#include "kernels/policy/decision.h"

namespace tovamill {

struct OldestToken : Memoryless {
  static constexpr bool kNeedsScan = false;
  template <class Number, class Position>
  TOVAMILL_HOST_DEVICE static Number score(const DecisionRule&, const Decision&,
                                           const ScoredToken<Number, Position>&) {
    return Number{};  // of equal scores the oldest leaves
  }
};

struct NoToken : Memoryless {
  static constexpr bool kIsBounded = false, kNeedsScan = false;
  template <class Number, class Position>
  TOVAMILL_HOST_DEVICE static Number score(const DecisionRule&, const Decision&,
                                           const ScoredToken<Number, Position>&) {
    return Number{} + INFINITY;
  }
};

}  // namespace tovamill
