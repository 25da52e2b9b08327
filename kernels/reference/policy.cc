#include "kernels/reference/policy.h"

#include <cmath>
#include <limits>

#include "kernels/backend.h"

namespace tovamill::reference {
namespace {

bool is_protected(const CacheOptions& o, std::int64_t step, std::int64_t position) {
  switch (o.policy) {
    case Policy::tova:
    case Policy::tova_head:
    case Policy::tova_ema:
      return position < o.pin;
    case Policy::h2o:
    case Policy::h2o_head:
      return position < o.pin || position > step - protected_recent(o);
    case Policy::window:
      return position < o.sinks;
    case Policy::full:
      return true;
  }
  return true;
}

double score(const CacheOptions& o, double weight, const TokenMemory& token) {
  switch (o.policy) {
    case Policy::tova:
    case Policy::tova_head:
      return weight;
    case Policy::tova_ema:
      return token.accumulated / (1.0 - std::pow(o.ema, static_cast<double>(token.n_queries))) *
             token.value_norm;
    case Policy::h2o:
    case Policy::h2o_head:
      return token.accumulated;
    case Policy::window:
      return static_cast<double>(token.position);
    case Policy::full:
      break;
  }
  return std::numeric_limits<double>::infinity();
}

}  // namespace

void remember(const CacheOptions& o, const std::vector<double>& weights,
              std::vector<TokenMemory>& tokens) {
  const bool averages = o.policy == Policy::tova_ema;
  for (std::size_t j = 0; j < tokens.size(); ++j) {
    TokenMemory& token = tokens[j];
    token.n_queries += 1;
    token.accumulated = averages ? o.ema * token.accumulated + (1.0 - o.ema) * weights[j]
                                 : token.accumulated + weights[j];
  }
}

std::int64_t choose_evicted(const CacheOptions& o, std::int64_t step,
                            const std::vector<double>& weights,
                            const std::vector<TokenMemory>& tokens) {
  std::int64_t chosen = -1, oldest = -1;
  const auto position = [&](std::int64_t j) {
    return tokens[static_cast<std::size_t>(j)].position;
  };
  double lowest = std::numeric_limits<double>::infinity();
  for (std::size_t j = 0; j < tokens.size(); ++j) {
    if (is_protected(o, step, tokens[j].position)) continue;
    if (oldest < 0 || tokens[j].position < position(oldest)) oldest = static_cast<std::int64_t>(j);
    const double s = score(o, weights[j], tokens[j]);
    if (s < lowest || (s == lowest && (chosen < 0 || tokens[j].position < position(chosen)))) {
      chosen = static_cast<std::int64_t>(j);
      lowest = s;
    }
  }
  // A score that is not a number never compares as lower, but something must leave.
  return chosen >= 0 ? chosen : oldest;
}

}  // namespace tovamill::reference
