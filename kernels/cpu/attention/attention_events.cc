#include "kernels/cpu/attention/attention_events.h"

#include <cstdint>

namespace tovamill::cpu {
namespace {

// Tokens that the query attends to where the model's sliding window hides some.
std::uint64_t n_visible(const LayerPass& pass, const Tile& tile, std::int32_t group,
                        std::int32_t query) {
  const std::int32_t* positions = tile.state->positions(pass.layer, group);
  const std::int32_t* eviction_steps = tile.scratch->eviction_steps_of(group);
  const std::int32_t hidden_below = pass.hidden_below(tile.position + query);
  std::uint64_t n = 0;
  for (std::int32_t j = 0; j <= tile.n_state + query; ++j) {
    const bool is_live = !tile.may_evict || eviction_steps[j] >= query;
    n += is_live && positions[j] > hidden_below;
  }
  return n;
}

// The weight of the token that left after the query, the mean over the heads that decided.
float evicted_weight(const AttentionModel& model, const Tile& tile, std::int32_t group,
                     std::int32_t query) {
  if (tile.is_scanned)
    return tile.scratch
        ->evicted_weight[static_cast<std::size_t>(group * model.tile_queries + query)];
  double weight = 0.0;
  for (std::int32_t kv = 0; kv < model.shape.n_kv_heads; ++kv)
    weight += tile.scratch->head_weight[static_cast<std::size_t>(kv * model.tile_queries + query)];
  return static_cast<float>(weight / model.shape.n_heads);
}

}  // namespace

void add_events(const LayerPass& pass, const Tile& tile, BlockEvents& events) {
  const AttentionModel& model = pass.model;
  for (std::int32_t g = 0; g < model.n_groups; ++g) {
    const std::int32_t* positions = tile.state->positions(pass.layer, g);
    std::int64_t n_live = tile.n_state - tile.state->n_merged(pass.layer);
    for (std::int32_t query = 0; query < tile.n_queries; ++query) {
      ++n_live;
      events.n_attended +=
          pass.has_window() ? n_visible(pass, tile, g, query) : static_cast<std::uint64_t>(n_live);
      if (!tile.may_evict) continue;
      const std::int32_t slot =
          tile.scratch->evicted[static_cast<std::size_t>(g * model.tile_queries + query)];
      if (slot < 0) continue;
      --n_live;
      events.evictions.push_back({.position = positions[slot],
                                  .step = static_cast<std::int32_t>(tile.position) + query,
                                  .group = g,
                                  .weight = evicted_weight(model, tile, g, query)});
    }
  }
}

}  // namespace tovamill::cpu
