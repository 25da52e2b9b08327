#include "kernels/cuda/state/attention_model.h"

#include <algorithm>
#include <cmath>

namespace tovamill::cuda {
AttentionModel::AttentionModel(const BackendOptions& options, ComputeType type)
    : model_(options.shape),
      cache_(fitted_to_windows(options.cache, options.shape)),
      type_(type),
      max_rows_(options.max_rows),
      max_block_(options.max_block),
      clip_(clip_distance(options.cache, options.shape)) {
  for (std::int32_t l = 0; l < model_.n_layers; ++l) {
    widest_ = std::max(widest_, places(l).size);
    most_held_ = std::max(most_held_, places(l).size - places(l).merged);
  }
  const std::int32_t groups = n_eviction_groups(cache_, model_);
  const PolicyMemory memory = traits_of(cache_.policy).memory;
  heads_differ_ = model_.heads_differ();
  for (std::int32_t l = 0; l < model_.n_layers; ++l) {
    const LayerHeads heads = model_.heads(l);
    layouts_.push_back({.n_layers = model_.n_layers,
                        .n_kv_heads = heads.n_kv_heads,
                        .head_dim = heads.head_dim,
                        .n_eviction_groups = groups,
                        .element_bytes = static_cast<std::int32_t>(element_bytes(type)),
                        .keeps_unrotated = rotates_again(cache_, clip_),
                        .remembers = memory_numbers(memory) >= 1,
                        .averages = memory_numbers(memory) == 3});
    shapes_.push_back(attention_shape(l, heads, groups));
  }
  const std::int32_t most_per_kv =
      std::max_element(shapes_.begin(), shapes_.end(), [](const auto& a, const auto& b) {
        return a.heads_per_kv < b.heads_per_kv;
      })->heads_per_kv;
  widest_shape_ = attention_shape(0, {model_.n_heads, model_.n_kv_heads, model_.head_dim}, groups);
  widest_shape_.heads_per_kv = most_per_kv;
  std::int64_t offset = 0;
  for (std::int32_t l = 0; l < model_.n_layers; ++l) {
    offsets_.push_back(offset);
    offset += layer_bytes(l, static_cast<std::int64_t>(widest_) + 1);
  }
}

AttentionShape AttentionModel::attention_shape(std::int32_t l, const LayerHeads& heads,
                                               std::int32_t groups) const {
  const LayerShape& layer = model_.layer(l);
  return {.n_heads = heads.n_heads,
          .n_kv_heads = heads.n_kv_heads,
          .head_dim = heads.head_dim,
          .heads_per_kv = heads.queries_per_kv_head(),
          .n_eviction_groups = groups,
          .heads_per_group = heads.n_heads / groups,
          .kv_heads_per_group = heads.n_kv_heads / groups,
          .sliding_window = layer.sliding_window,
          .first_layer = model_.first_layer,
          .eps = model_.qk_norm_eps,
          .scale = score_scale(layer, heads.head_dim),
          .score_cap = static_cast<float>(layer.score_cap),
          .query_beta = static_cast<float>(layer.query_beta),
          .query_length = layer.query_length,
          .norms_rows = layer.qk_norm == QkNorm::row,
          .in_state = cache_.positions == Positions::in_state,
          .cache_size = places(l).size,
          .n_merged = places(l).merged};
}

std::int64_t AttentionModel::capacity(std::int64_t n_tokens, bool keeps_all) const {
  return state_capacity(cache_, static_cast<std::int64_t>(widest_) + 1, n_tokens, keeps_all);
}

std::int64_t AttentionModel::tile_slots(std::int64_t n_tokens, bool keeps_all) const {
  const std::int64_t slots = capacity(n_tokens, keeps_all);
  if (!is_bounded(cache_)) return slots;
  return std::max(slots, widest_ + std::min<std::int64_t>(kRopeSegmentTokens, max_block_));
}

std::int64_t AttentionModel::decode_slots(std::int64_t n_slots) const {
  const std::int64_t bounded = static_cast<std::int64_t>(widest_) + 1;
  return is_bounded(cache_) && n_slots <= bounded ? bounded : capacity(n_slots, true);
}

std::int64_t AttentionModel::layer_capacity(std::int32_t layer, std::int64_t capacity) const {
  if (!places_differ() || capacity > static_cast<std::int64_t>(widest_) + 1) return capacity;
  return std::min(capacity, static_cast<std::int64_t>(places(layer).size) + 1);
}

std::int64_t AttentionModel::layer_bytes(std::int32_t layer, std::int64_t capacity) const {
  return layout(layer).layer_bytes(layer_capacity(layer, capacity)) +
         layout(layer).merge_bytes(shape(layer).n_heads, shape(layer).n_merged);
}

std::int64_t AttentionModel::layer_offset(std::int32_t layer, std::int64_t capacity) const {
  if (!layers_differ()) return layer * layout().layer_bytes(capacity);
  if (capacity == static_cast<std::int64_t>(widest_) + 1)
    return offsets_[static_cast<std::size_t>(layer)];
  std::int64_t offset = 0;
  for (std::int32_t l = 0; l < layer; ++l) offset += layer_bytes(l, capacity);
  return offset;
}

std::size_t AttentionModel::state_bytes(std::int64_t capacity) const {
  return static_cast<std::size_t>(layer_offset(model_.n_layers - 1, capacity) +
                                  layer_bytes(model_.n_layers - 1, capacity));
}

LayerView AttentionModel::view(const CudaState& state, std::int32_t layer) const {
  return {state.data() + layer_offset(layer, state.capacity), layout(layer),
          layer_capacity(layer, state.capacity), 0};
}

std::int64_t AttentionModel::n_slots(const CudaState& state, std::int32_t layer) const {
  return held_in(layer, state.n_held, state.n_grown) + shape(layer).n_merged;
}

std::int64_t AttentionModel::held_in(std::int32_t layer, std::int64_t n_held,
                                     std::int64_t n_grown) const {
  if (!is_bounded(cache_) || !places_differ()) return n_held;
  const AttentionShape& s = shape(layer);
  return std::min<std::int64_t>(n_held - n_grown, s.cache_size - s.n_merged) + n_grown;
}

std::int64_t AttentionModel::held_after(const StepBlock& block, std::int32_t layer,
                                        std::int64_t held, std::int64_t n) const {
  if (!is_bounded(cache_) || block.keeps_all) return held + n;
  const AttentionShape& s = shape(layer);
  return std::min<std::int64_t>(held + n, s.cache_size - s.n_merged);
}

std::int32_t AttentionModel::most_slots(const CudaState& state) const {
  if (!places_differ()) return static_cast<std::int32_t>(state.n_held);
  const std::int64_t n = state.n_held - state.n_grown + cache_.merge;
  return static_cast<std::int32_t>(std::min<std::int64_t>(n, widest_) + state.n_grown);
}

void AttentionModel::take(const StepBlock& block, CudaState& state, std::int64_t n) const {
  state.n_held += n;
  if (!is_bounded(cache_)) return;
  if (block.keeps_all) {
    state.n_grown += n;
    return;
  }
  state.n_held = std::min<std::int64_t>(state.n_held, most_held_);
  state.n_grown = 0;
}

TileInfo AttentionModel::in_layer(const TileInfo& tile, std::int32_t layer) const {
  TileInfo t = tile;
  if (!layers_differ()) return t;
  const AttentionShape& s = shape(layer);
  t.n_held = static_cast<std::int32_t>(held_in(layer, tile.n_held, tile.n_grown));
  t.n_state = t.n_held + s.n_merged;
  t.capacity = layer_capacity(layer, tile.capacity);
  // Kernels add as many layers of the same size: where this one lies is where they come to.
  t.state = tile.state + layer_offset(layer, tile.capacity) -
            layer * layout(layer).layer_bytes(t.capacity);
  t.n_stored = t.n_slots() <= t.capacity ? t.n_slots() : t.n_state;
  t.rule.cache_size = s.cache_size;
  if (places(layer).is_window) t.rule = {.policy = Policy::window, .cache_size = s.cache_size};
  return t;
}

std::int64_t AttentionModel::wanted_rotation(std::int64_t position) const {
  return tovamill::wanted_rotation(cache_, clip_, position);
}

DecisionRule AttentionModel::rule_of(const StepBlock& block) const {
  return decision_rule(cache_, block, {.size = widest_});
}

}  // namespace tovamill::cuda
