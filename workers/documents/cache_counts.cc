#include "workers/documents/cache_counts.h"

#include <algorithm>

namespace tovamill {

CacheCounts::CacheCounts(std::int32_t n_layers, std::int32_t n_eviction_groups)
    : n_eviction_groups_(n_eviction_groups), layers_(static_cast<std::size_t>(n_layers)) {}

void CacheCounts::add_lifetime(TokenId id, std::uint64_t steps) {
  TokenLifetime& t = lifetimes_[id];
  t.id = id;
  t.count += 1;
  t.lifetime += steps;
}

void CacheCounts::count(std::size_t layer, const BlockEvents& events, FirstEvictions& first,
                        const TokenAt& at) {
  LayerCounters& counters = layers_[layer];
  counters.n_attended += events.n_attended;
  for (const Eviction& e : events.evictions) {
    const auto lived = static_cast<std::uint64_t>(e.step - e.position);
    counters.n_evictions += 1;
    counters.lifetime[static_cast<std::size_t>(log_bin(lived))] += 1;
    counters.evicted_weight += static_cast<double>(e.weight);
    add_lifetime(at(e.position), lived);
    if (e.position == 0)
      first.steps()[layer * static_cast<std::size_t>(n_eviction_groups_) +
                    static_cast<std::size_t>(e.group)] = e.step;
  }
}

void CacheCounts::end(const StateKeeper& states, const StreamState& state, std::int64_t n_tokens,
                      const FirstEvictions& first, const TokenAt& at) {
  const auto groups = static_cast<std::size_t>(n_eviction_groups_);
  const auto n = static_cast<std::uint64_t>(n_tokens);
  const std::vector<std::vector<std::int32_t>> all = states.read_all_positions(state);
  for (std::size_t l = 0; l < layers_.size(); ++l) {
    LayerCounters& counters = layers_[l];
    for (std::size_t g = 0; g < groups; ++g) {
      const std::vector<std::int32_t>& held = all[l * groups + g];
      counters.n_survivors += held.size();
      for (const std::int32_t position : held) {
        const std::uint64_t age = n - 1 - static_cast<std::uint64_t>(position);
        counters.survivor_age[static_cast<std::size_t>(log_bin(age))] += 1;
        counters.n_recent += age < held.size();
        add_lifetime(at(position), age);
      }
      const std::int32_t step = first.steps()[l * groups + g];
      for (std::size_t b = 0; b < kLogBins && (std::uint64_t{1} << b) < n; ++b) {
        counters.first_token_reached[b] += 1;
        counters.first_token_kept[b] +=
            step < 0 || static_cast<std::uint64_t>(step) >= (std::uint64_t{1} << b);
      }
    }
  }
}

std::vector<TokenLifetime> CacheCounts::lifetimes() const {
  std::vector<TokenLifetime> all;
  all.reserve(lifetimes_.size());
  for (const auto& [id, t] : lifetimes_) all.push_back(t);
  std::sort(all.begin(), all.end(),
            [](const TokenLifetime& a, const TokenLifetime& b) { return a.id < b.id; });
  return all;
}

void CacheCounts::restore(std::vector<LayerCounters> layers,
                          const std::vector<TokenLifetime>& lifetimes) {
  layers_ = std::move(layers);
  lifetimes_.clear();
  for (const TokenLifetime& t : lifetimes) lifetimes_[t.id] = t;
}

}  // namespace tovamill
