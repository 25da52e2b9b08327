// TOVA (Oren, Hassid, Yarden, Adi, Schwartz 2024, Algorithm 1): the token leaves that the newest
// query attends to least, averaged over the query heads that decide.
#pragma once

#include "kernels/policy/decision.h"

namespace tovamill {

struct NewestWeight : Memoryless {
  template <class Number, class Position>
  TOVAMILL_HOST_DEVICE static Number score(const DecisionRule&, const Decision&,
                                           const ScoredToken<Number, Position>& token) {
    return token.weight;
  }
};

}  // namespace tovamill
