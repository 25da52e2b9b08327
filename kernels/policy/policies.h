// All policies, a line each: everything that depends on the policy follows from its line here and
// from its rule's file, in all backends, options, messages and saved states.
#pragma once

#include <cstdint>
#include <string_view>

#include "kernels/policy/accumulated_weight.h"
#include "kernels/policy/decision.h"
#include "kernels/policy/moving_average.h"
#include "kernels/policy/newest_weight.h"
#include "kernels/policy/random.h"
#include "kernels/policy/window.h"

namespace tovamill {

// Options that a policy takes (CacheOptions).
enum PolicyOption : std::uint8_t {
  kTakesNone = 0,
  kTakesPin = 1,     // --pin: the first so many tokens never leave
  kTakesSinks = 2,   // --sinks: the same of a window, whose size they are taken from
  kTakesRecent = 4,  // --recent: nor do the newest so many
  kTakesEma = 8,     // --ema: decay of a moving average
  kTakesMerge = 16,  // --merge: places of the state for merged tokens; --budgets
};

// Who decides: the query heads of a layer together, or those of each KV head for its own state.
enum class DecidedBy : std::uint8_t { layer, kv_head };

// The order is that of --help and of the numbers in saved states: new ones go to the end.
// clang-format off
//     policy     its name     rule               decided by  options
#define TOVAMILL_POLICIES(POLICY)                                            \
  POLICY(tova,      "tova",      NewestWeight,      layer,   kTakesPin | kTakesMerge) \
  POLICY(tova_head, "tova-head", NewestWeight,      kv_head, kTakesPin)      \
  POLICY(tova_ema,  "tova-ema",  MovingAverage,     layer,   kTakesPin | kTakesEma | kTakesMerge) \
  POLICY(h2o,       "h2o",       AccumulatedWeight, layer,   kTakesRecent)   \
  POLICY(h2o_head,  "h2o-head",  AccumulatedWeight, kv_head, kTakesRecent)   \
  POLICY(window,    "window",    OldestToken,       layer,   kTakesSinks)    \
  POLICY(full,      "full",      NoToken,           layer,   kTakesNone)     \
  POLICY(random,    "random",    RandomToken,       layer,   kTakesPin)
// clang-format on

enum class Policy : std::uint8_t {
#define TOVAMILL_POLICY(policy, ...) policy,
  TOVAMILL_POLICIES(TOVAMILL_POLICY)
#undef TOVAMILL_POLICY
};

struct PolicyTraits {
  Policy policy;
  std::string_view name;  // as on the command line
  DecidedBy decided_by;
  std::uint8_t options;                // PolicyOption
  PolicyMemory memory;                 // of each token
  bool is_bounded, needs_scan, draws;  // RuleDefaults

  constexpr bool takes(PolicyOption option) const { return (options & option) != 0; }
};

inline constexpr PolicyTraits kPolicies[] = {
#define TOVAMILL_POLICY(policy, name, Rule, decided_by, options)                                   \
  {Policy::policy,   name,        DecidedBy::decided_by, options, Rule::kMemory, Rule::kIsBounded, \
   Rule::kNeedsScan, Rule::kDraws},
    TOVAMILL_POLICIES(TOVAMILL_POLICY)
#undef TOVAMILL_POLICY
};

constexpr const PolicyTraits& traits_of(Policy policy) {
  return kPolicies[static_cast<std::size_t>(policy)];
}

// Calls f with an object of the policy's rule.
template <class F>
TOVAMILL_HOST_DEVICE inline decltype(auto) with_rule(Policy policy, F&& f) {
  switch (policy) {
#define TOVAMILL_POLICY(policy, name, Rule, ...) \
  case Policy::policy:                           \
    return f(Rule{});
    TOVAMILL_POLICIES(TOVAMILL_POLICY)
#undef TOVAMILL_POLICY
  }
  return f(NoToken{});
}

// Takes the newest query's weight of a token into what is remembered of it.
TOVAMILL_HOST_DEVICE inline void remember(const DecisionRule& rule, float weight,
                                          TokenMemory& memory) {
  with_rule(rule.policy, [&](auto r) { decltype(r)::remember(rule, weight, memory); });
}

// What is compared: the lowest leaves.
TOVAMILL_HOST_DEVICE inline float score_of(const DecisionRule& rule, const Decision& decision,
                                           const ScoredToken<float, std::int32_t>& token) {
  return with_rule(rule.policy, [&](auto r) { return decltype(r)::score(rule, decision, token); });
}

}  // namespace tovamill
