// Only the order of the logits and their distance from the highest matter, so no logit is divided
// by the temperature and no probability normalised: a weight is a probability over that of the most
// probable token. Each cut keeps a beginning of one order, the most probable first and ties by id;
// what is certainly within is not sorted.
#include "engine/sampling/sampling.h"

#include <algorithm>
#include <array>
#include <bit>
#include <cmath>
#include <cstdio>
#include <limits>
#include <string>

#include "kernels/policy/philox.h"
#include "kernels/types/error.h"

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
      philox({{low(place.position), high(place.position), low(place.text), high(place.text)}},
             {{low(seed), high(seed)}});
  const std::uint64_t joined = static_cast<std::uint64_t>(bits.at[0]) << 32 | bits.at[1];
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
  const double total = sum_of_weights();
  std::vector<TokenProbability> out;
  for (std::size_t i = 0; i < weights_.size(); ++i)
    out.push_back({candidates_[i].id, weights_[i] / total});
  std::ranges::sort(out, [](const TokenProbability& a, const TokenProbability& b) {
    return a.probability > b.probability || (a.probability == b.probability && a.id < b.id);
  });
  return out;
}

// Leaves the kept ones in candidates_ and their weights in weights_, in no order that matters.
void Sampler::keep_candidates(std::span<const float> logits,
                              const RelativeProbability& probability) {
  candidates_.reserve(logits.size());
  weights_.reserve(logits.size());
  if (options_.top_k > 0 && static_cast<std::size_t>(options_.top_k) < logits.size()) {
    gather_top_k(logits, probability, static_cast<std::size_t>(options_.top_k));
    if (options_.top_p < 1.0) cut_top_p(options_.top_p * sum_of_weights());
  } else if (options_.top_p < 1.0) {
    const double needed = options_.top_p * sum_probabilities(logits, probability, blocks_);
    gather_enough(logits, probability, needed);
    cut_top_p(needed);
  } else {
    gather_within(logits, probability, greatest_depth());
  }
  cut_min_p();
}

double Sampler::sum_of_weights() const {
  double sum = 0.0;
  for (const double weight : weights_) sum += weight;
  return sum;
}

// How far below the highest, as the logarithm of their probabilities' ratio, tokens may be kept:
// those that min-p cuts need not be gathered. The slack is for rounding.
double Sampler::greatest_depth() const {
  if (options_.min_p == 0.0) return kGreatestDepth;
  return std::min(kGreatestDepth, 1e-6 - std::log(options_.min_p));
}

// The n highest, by id. The candidates are twice as many at times, and halved.
void Sampler::gather_top_k(std::span<const float> logits, const RelativeProbability& probability,
                           std::size_t n) {
  candidates_.clear();
  const std::size_t limit = std::min(2 * n, logits.size());
  float threshold = kLowest;
  const auto halve = [&] {
    const auto nth = candidates_.begin() + static_cast<std::ptrdiff_t>(n);
    std::nth_element(candidates_.begin(), nth - 1, candidates_.end());
    candidates_.erase(nth, candidates_.end());
    threshold = candidates_.back().logit;
  };
  for_each_above(logits, threshold, [&](TokenId id) {
    candidates_.push_back({logits[static_cast<std::size_t>(id)], id});
    if (candidates_.size() == limit) halve();
    return threshold;
  });
  if (candidates_.size() > n) halve();
  std::ranges::sort(candidates_, {}, &Candidate::id);
  weights_.clear();
  for (const Candidate& candidate : candidates_) weights_.push_back(probability(candidate.logit));
}

// Those of at least e^-depth of the highest probability, and perhaps a few more; by id.
void Sampler::gather_within(std::span<const float> logits, const RelativeProbability& probability,
                            double depth) {
  candidates_.clear();
  weights_.clear();
  const double lowest = probability.highest - depth / probability.inverse_temperature;
  const float threshold = std::nextafter(static_cast<float>(lowest), kLowest);
  for_each_above(logits, threshold, [&](TokenId id) {
    const float logit = logits[static_cast<std::size_t>(id)];
    candidates_.push_back({logit, id});
    weights_.push_back(probability(logit));
    return threshold;
  });
}

// Those within a depth at which their weights certainly sum to `needed`, whatever the order of the
// sum, or all that may be kept.
void Sampler::gather_enough(std::span<const float> logits, const RelativeProbability& probability,
                            double needed) {
  const double greatest = greatest_depth();
  for (double depth = std::min(4.0, greatest);; depth = std::min(1.5 * depth, greatest)) {
    gather_within(logits, probability, depth);
    if (depth >= greatest || sum_of_weights() * (1.0 - 1e-9) >= needed) return;
  }
}

// Keeps the fewest highest whose weights sum to `needed`, but one at least. The candidates are
// counted into buckets by their logits; only the bucket in which the sum is reached is sorted.
void Sampler::cut_top_p(double needed) {
  constexpr std::size_t kBuckets = 256;
  const auto [last_one, first_one] = std::ranges::minmax(candidates_, {}, &Candidate::logit);
  const double highest = first_one.logit, range = highest - last_one.logit;
  const double scale = range > 0.0 ? kBuckets / range : 0.0;
  const auto bucket_of = [&](const Candidate& candidate) {
    return std::min(kBuckets - 1, static_cast<std::size_t>((highest - candidate.logit) * scale));
  };
  std::array<double, kBuckets> sums{};
  for (std::size_t i = 0; i < candidates_.size(); ++i)
    sums[bucket_of(candidates_[i])] += weights_[i];
  double sum = 0.0;
  std::size_t border = 0;
  while (border + 1 < kBuckets && sum + sums[border] < needed) sum += sums[border++];

  border_.clear();
  border_.reserve(candidates_.capacity());
  std::size_t n = 0;
  for (std::size_t i = 0; i < candidates_.size(); ++i) {
    const std::size_t bucket = bucket_of(candidates_[i]);
    if (bucket == border) border_.emplace_back(candidates_[i], weights_[i]);
    if (bucket >= border) continue;
    candidates_[n] = candidates_[i];
    weights_[n++] = weights_[i];
  }
  std::sort(border_.begin(), border_.end(),
            [](const auto& a, const auto& b) { return a.first < b.first; });
  for (const auto& [candidate, weight] : border_) {
    if (n > 0 && sum >= needed) break;
    candidates_[n] = candidate;
    weights_[n++] = weight;
    sum += weight;
  }
  candidates_.resize(n);
  weights_.resize(n);
}

// Drops what min-p does not let through, and weights of 0.
void Sampler::cut_min_p() {
  std::size_t n = 0;
  for (std::size_t i = 0; i < candidates_.size(); ++i) {
    if (weights_[i] == 0.0 || weights_[i] < options_.min_p) continue;
    candidates_[n] = candidates_[i];
    weights_[n++] = weights_[i];
  }
  candidates_.resize(n);
  weights_.resize(n);
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
  const double place = random * sum_of_weights();
  double sum = 0.0;
  std::size_t at = 0;
  while (at + 1 < weights_.size() && place >= (sum += weights_[at])) ++at;
  return candidates_[at].id;
}

}  // namespace tovamill
