// The control of the literature: each token that may leave does so with the same probability. All
// of them draw a number, the lowest leaves; the numbers come from a counter-based generator, keyed
// by the document, so that they are the same in blocks of any size, on any backend and after a
// restart.
#pragma once

#include <cstring>
#include <type_traits>

#include "kernels/policy/decision.h"
#include "kernels/policy/philox.h"

namespace tovamill {

struct RandomToken : Memoryless {
  static constexpr bool kDraws = true;

  TOVAMILL_HOST_DEVICE static float draw(const DecisionRule& rule, const Decision& decision,
                                         std::int32_t position) {
    const PhiloxCounter drawn = philox(
        {{static_cast<std::uint32_t>(position), static_cast<std::uint32_t>(decision.now),
          static_cast<std::uint32_t>(decision.layer), static_cast<std::uint32_t>(decision.group)}},
        {{static_cast<std::uint32_t>(rule.random_key),
          static_cast<std::uint32_t>(rule.random_key >> 32)}});
    return static_cast<float>(drawn.at[0]);
  }

  template <class Number, class Position>
  TOVAMILL_HOST_DEVICE static Number score(const DecisionRule& rule, const Decision& decision,
                                           const ScoredToken<Number, Position>& token) {
    if constexpr (std::is_same_v<Number, float>) {
      return draw(rule, decision, token.position);
    } else {  // a lane after another
      constexpr int kNumbers = sizeof(Number) / sizeof(float);
      std::int32_t position[kNumbers];
      float drawn[kNumbers];
      std::memcpy(position, &token.position, sizeof position);
      for (int i = 0; i < kNumbers; ++i) drawn[i] = draw(rule, decision, position[i]);
      Number all;
      std::memcpy(&all, drawn, sizeof all);
      return all;
    }
  }
};

}  // namespace tovamill
