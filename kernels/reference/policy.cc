#include "kernels/reference/policy.h"

#include <cmath>
#include <limits>

#include "kernels/policy/philox.h"
#include "kernels/state_plan.h"

namespace tovamill::reference {
namespace {

bool is_protected(const CacheOptions& o, std::int64_t step, std::int64_t position) {
  const PolicyTraits& policy = traits_of(o.policy);
  return !policy.is_bounded || position < (policy.takes(kTakesSinks) ? o.sinks : o.pin) ||
         (policy.takes(kTakesRecent) && position > step - protected_recent(o));
}

// A token that may leave, and which decision that is.
struct Scored {
  const CacheOptions& cache;
  const TokenMemory& token;
  double weight;  // of the newest query
  std::int64_t step;
  const Decider& decider;
};

// What each rule compares, in float64 and on its own: the rules' files are for the fast backends.
double score(NewestWeight, const Scored& s) { return s.weight; }
double score(AccumulatedWeight, const Scored& s) { return s.token.accumulated; }
double score(MovingAverage, const Scored& s) {
  const double correction = 1.0 - std::pow(s.cache.ema, static_cast<double>(s.token.n_queries));
  return s.token.accumulated / correction * s.token.value_norm;
}
double score(OldestToken, const Scored& s) { return static_cast<double>(s.token.position); }
double score(RandomToken, const Scored& s) {
  const auto low = [](auto n) { return static_cast<std::uint32_t>(n); };
  const PhiloxCounter drawn =
      philox({{low(s.token.position), low(s.step), low(s.decider.layer), low(s.decider.group)}},
             {{low(s.decider.random_key), low(s.decider.random_key >> 32)}});
  return static_cast<double>(static_cast<float>(drawn.at[0]));
}
double score(NoToken, const Scored&) { return std::numeric_limits<double>::infinity(); }

}  // namespace

void remember(const CacheOptions& o, const std::vector<double>& weights,
              std::vector<TokenMemory>& tokens) {
  const bool averages = traits_of(o.policy).memory == PolicyMemory::average;
  for (std::size_t j = 0; j < tokens.size(); ++j) {
    TokenMemory& token = tokens[j];
    token.n_queries += 1;
    token.accumulated = averages ? o.ema * token.accumulated + (1.0 - o.ema) * weights[j]
                                 : token.accumulated + weights[j];
  }
}

std::int64_t choose_evicted(const CacheOptions& o, std::int64_t step,
                            const std::vector<double>& weights,
                            const std::vector<TokenMemory>& tokens, const Decider& decider) {
  std::int64_t chosen = -1, oldest = -1;
  const auto position = [&](std::int64_t j) {
    return tokens[static_cast<std::size_t>(j)].position;
  };
  double lowest = std::numeric_limits<double>::infinity();
  for (std::size_t j = 0; j < tokens.size(); ++j) {
    if (is_protected(o, step, tokens[j].position)) continue;
    if (oldest < 0 || tokens[j].position < position(oldest)) oldest = static_cast<std::int64_t>(j);
    const Scored scored{o, tokens[j], weights[j], step, decider};
    const double s = with_rule(o.policy, [&](auto rule) { return score(rule, scored); });
    if (s < lowest || (s == lowest && (chosen < 0 || tokens[j].position < position(chosen)))) {
      chosen = static_cast<std::int64_t>(j);
      lowest = s;
    }
  }
  // A score that is not a number never compares as lower, but something must leave.
  return chosen >= 0 ? chosen : oldest;
}

}  // namespace tovamill::reference
