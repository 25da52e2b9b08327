// Only the order of the logits and their distance from the highest matter, so no logit is divided
// by the temperature and no probability normalised: a weight is a probability over that of the most
// probable token. Each cut keeps a beginning of one order, the most probable first and ties by id,
// so candidates are sorted only as far as something is kept.
#include "engine/sampling.h"

#include <algorithm>
#include <array>
#include <bit>
#include <cmath>
#include <cstdio>
#include <limits>
#include <string>

#include "engine/philox.h"
#include "kernels/error.h"

namespace tovamill {
namespace {

constexpr float kNone = std::numeric_limits<float>::quiet_NaN();
constexpr float kLowest = -std::numeric_limits<float>::infinity();
// Relative probabilities below e^-depth are 0 (see `decay`).
constexpr double kGreatestDepth = 709.0;

void check(bool holds, const char* option, double value, const char* range) {
  if (holds) return;
  std::array<char, 32> text{};
  std::snprintf(text.data(), text.size(), "%g", value);
  throw Error(ExitCode::configuration, std::string(option) + " is " + text.data() +
                                           " (it must be " + range + "): give another value");
}

void penalise(std::span<float> logits, const TokenSet& seen, float penalty) {
  const auto bits = seen.bits();
  for (std::size_t word = 0; word < bits.size(); ++word) {
    for (std::uint64_t rest = bits[word]; rest != 0; rest &= rest - 1) {
      const std::size_t id = 64 * word + static_cast<std::size_t>(std::countr_zero(rest));
      if (id >= logits.size()) return;
      float& logit = logits[id];
      logit = logit < 0.0f ? logit * penalty : logit / penalty;
    }
  }
}

}  // namespace

void validate(const SamplingOptions& options) {
  const double t = options.temperature;
  check(t == 0.0 || (t >= 1e-6 && t <= 1e6), "--temperature", t, "0 or from 0.000001 to 1000000");
  check(options.top_k >= 0, "--top-k", options.top_k, "0 or more");
  check(options.top_p >= 0.0 && options.top_p <= 1.0, "--top-p", options.top_p, "from 0 to 1");
  check(options.min_p >= 0.0 && options.min_p <= 1.0, "--min-p", options.min_p, "from 0 to 1");
  const double penalty = options.repetition_penalty;
  check(penalty >= 1e-3 && penalty <= 1e3, "--repetition-penalty", penalty, "from 0.001 to 1000");
}

TokenSet::TokenSet(std::int32_t vocab_size)
    : vocab_size_(std::max(vocab_size, 0)),
      bits_((static_cast<std::size_t>(vocab_size_) + 63) / 64) {}

void TokenSet::insert(TokenId id) {
  if (id < 0 || id >= vocab_size_) return;
  bits_[static_cast<std::size_t>(id) / 64] |= std::uint64_t{1} << (id % 64);
}

bool TokenSet::contains(TokenId id) const {
  if (id < 0 || id >= vocab_size_) return false;
  return bits_[static_cast<std::size_t>(id) / 64] >> (id % 64) & 1;
}

double random_number(std::uint64_t seed, const RandomPlace& place) {
  const auto low = [](std::uint64_t x) { return static_cast<std::uint32_t>(x); };
  const auto high = [](std::uint64_t x) { return static_cast<std::uint32_t>(x >> 32); };
  const PhiloxCounter bits =
      philox({low(place.position), high(place.position), low(place.text), high(place.text)},
             {low(seed), high(seed)});
  const std::uint64_t joined = static_cast<std::uint64_t>(bits[0]) << 32 | bits[1];
  return static_cast<double>(joined >> 11) * 0x1p-53;
}

float Sampler::prepare(std::span<float> logits, const TokenSet& seen,
                       std::span<const TokenId> forbidden) const {
  if (needs_seen()) penalise(logits, seen, static_cast<float>(options_.repetition_penalty));
  for (const TokenId id : forbidden) {
    if (id >= 0 && static_cast<std::size_t>(id) < logits.size())
      logits[static_cast<std::size_t>(id)] = kNone;
  }
  return highest_logit(logits);
}

bool Sampler::draws(float highest) const {
  return options_.temperature > 0.0 && std::isfinite(highest);
}

bool Sampler::cuts(std::size_t vocab_size) const {
  return (options_.top_k > 0 && static_cast<std::size_t>(options_.top_k) < vocab_size) ||
         options_.top_p < 1.0 || options_.min_p > 0.0;
}

TokenId Sampler::choose(std::span<float> logits, const TokenSet& seen,
                        std::span<const TokenId> forbidden, const RandomPlace& place) {
  const float highest = prepare(logits, seen, forbidden);
  if (!draws(highest)) return first_with_logit(logits, highest);
  const RelativeProbability probability{highest, 1.0 / options_.temperature};
  const double random = random_number(options_.seed, place);
  if (!cuts(logits.size())) return draw_from_all(logits, probability, random);
  keep_candidates(logits, probability);
  return draw_from_candidates(random);
}

std::vector<TokenProbability> Sampler::distribution(std::span<float> logits, const TokenSet& seen,
                                                    std::span<const TokenId> forbidden) {
  const float highest = prepare(logits, seen, forbidden);
  if (!draws(highest)) {
    const TokenId id = first_with_logit(logits, highest);
    if (id == kNoToken) return {};
    return {{id, 1.0}};
  }
  keep_candidates(logits, {highest, 1.0 / options_.temperature});
  double total = 0.0;
  for (const double weight : weights_) total += weight;
  std::vector<TokenProbability> out;
  for (std::size_t i = 0; i < weights_.size(); ++i)
    out.push_back({candidates_[i].id, weights_[i] / total});
  return out;
}

// Leaves the kept ones in candidates_, sorted, and their weights.
void Sampler::keep_candidates(std::span<const float> logits,
                              const RelativeProbability& probability) {
  candidates_.reserve(logits.size());
  weights_.reserve(logits.size());
  const bool has_top_p = options_.top_p < 1.0;
  if (options_.top_k > 0 && static_cast<std::size_t>(options_.top_k) < logits.size()) {
    gather_highest(logits, static_cast<std::size_t>(options_.top_k));
    std::sort(candidates_.begin(), candidates_.end());
    double total = 0.0;
    for (const Candidate& candidate : candidates_) total += probability(candidate.logit);
    cut_candidates(probability, options_.top_p * total);
    return;
  }
  // What min-p cuts need not be gathered; the slack is for rounding.
  const double greatest_depth = options_.min_p > 0.0
                                    ? std::min(kGreatestDepth, 1e-6 - std::log(options_.min_p))
                                    : kGreatestDepth;
  const double total = has_top_p ? sum_probabilities(logits, probability, blocks_) : 0.0;
  const double needed = options_.top_p * total;
  double depth = has_top_p ? std::min(4.0, greatest_depth) : greatest_depth;
  for (bool done = false; !done; depth = std::min(1.5 * depth, greatest_depth)) {
    gather_within(logits, probability, depth);
    const bool may_do = depth >= greatest_depth || may_reach(probability, needed);
    done = may_do && (cut_candidates(probability, needed) || depth >= greatest_depth);
  }
}

// Whether the candidates' probabilities may sum to `needed`, without the cost of sorting them; the
// slack is for another order of the sum.
bool Sampler::may_reach(const RelativeProbability& probability, double needed) const {
  double sum = 0.0;
  for (const Candidate& candidate : candidates_) sum += probability(candidate.logit);
  return sum * (1.0 + 1e-9) >= needed;
}

// The n highest, in no particular order: the candidates are twice as many at times, and halved.
void Sampler::gather_highest(std::span<const float> logits, std::size_t n) {
  candidates_.clear();
  const std::size_t limit = std::min(2 * n, logits.size());
  const auto nth = static_cast<std::ptrdiff_t>(n);
  float threshold = kLowest;
  for_each_above(logits, threshold, [&](TokenId id) {
    candidates_.push_back({logits[static_cast<std::size_t>(id)], id});
    if (candidates_.size() == limit && limit > n) {
      std::nth_element(candidates_.begin(), candidates_.begin() + nth - 1, candidates_.end());
      candidates_.resize(n);
      threshold = candidates_.back().logit;
    }
    return threshold;
  });
  if (candidates_.size() <= n) return;
  std::nth_element(candidates_.begin(), candidates_.begin() + nth - 1, candidates_.end());
  candidates_.resize(n);
}

// Those of at least e^-depth of the highest probability, and perhaps a few more.
void Sampler::gather_within(std::span<const float> logits, const RelativeProbability& probability,
                            double depth) {
  candidates_.clear();
  const double lowest = probability.highest - depth / probability.inverse_temperature;
  const float threshold = std::nextafter(static_cast<float>(lowest), kLowest);
  for_each_above(logits, threshold, [&](TokenId id) {
    candidates_.push_back({logits[static_cast<std::size_t>(id)], id});
    return threshold;
  });
}

// Sorts the candidates as far as they are kept and drops the others: with top-p, what comes after
// those whose weights sum to `needed`; what min-p does not let through; weights of 0. False where
// top-p would keep more than there are.
bool Sampler::cut_candidates(const RelativeProbability& probability, double needed) {
  const bool has_top_p = options_.top_p < 1.0;
  weights_.clear();
  double sum = 0.0;
  std::size_t n_sorted = 0, n_next = 64;
  for (std::size_t i = 0; i < candidates_.size(); ++i) {
    if (i == n_sorted) {
      n_sorted = std::min(n_sorted + n_next, candidates_.size());
      n_next *= 4;
      const auto first = candidates_.begin() + static_cast<std::ptrdiff_t>(i);
      const auto last = candidates_.begin() + static_cast<std::ptrdiff_t>(n_sorted);
      if (last != candidates_.end()) std::nth_element(first, last, candidates_.end());
      std::sort(first, last);
    }
    const double weight = probability(candidates_[i].logit);
    const bool enough = i > 0 && has_top_p && sum >= needed;
    if (enough || weight < options_.min_p || weight == 0.0) {
      candidates_.resize(i);
      return true;
    }
    weights_.push_back(weight);
    sum += weight;
  }
  return !has_top_p || sum >= needed;
}

TokenId Sampler::draw_from_all(std::span<const float> logits,
                               const RelativeProbability& probability, double random) {
  const double total = sum_probabilities(logits, probability, blocks_);
  double rest = random * total;
  std::size_t block = 0;
  while (block + 1 < blocks_.size() && rest >= blocks_[block]) rest -= blocks_[block++];
  // Rounding may leave the place a little behind the block's end or behind all of them: then it is
  // the last token before it that has any probability.
  while (blocks_[block] == 0.0) --block;
  TokenId chosen = kNoToken;
  const std::size_t begin = block * kScanBlock;
  for (std::size_t i = begin; i < std::min(begin + kScanBlock, logits.size()); ++i) {
    const double weight = probability(logits[i]);
    if (weight == 0.0) continue;
    chosen = static_cast<TokenId>(i);
    if (rest < weight) break;
    rest -= weight;
  }
  return chosen;
}

TokenId Sampler::draw_from_candidates(double random) const {
  double total = 0.0;
  for (const double weight : weights_) total += weight;
  const double place = random * total;
  double sum = 0.0;
  std::size_t at = 0;
  while (at + 1 < weights_.size() && place >= (sum += weights_[at])) ++at;
  return candidates_[at].id;
}

}  // namespace tovamill
