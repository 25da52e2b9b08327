#include "kernels/cuda/state/attention_model.h"

#include <algorithm>
#include <cmath>

#include "kernels/types/error.h"

namespace tovamill::cuda {
namespace {

const CacheOptions& checked(const CacheOptions& cache) {
  if (cache.merge == 0 && cache.layer_sizes.empty()) return cache;
  throw Error(ExitCode::configuration,
              "--merge and --budgets are computed on CPUs only as yet: give --device cpu");
}

}  // namespace

AttentionModel::AttentionModel(const BackendOptions& options, ComputeType type)
    : model_(options.shape),
      cache_(checked(options.cache)),
      type_(type),
      max_rows_(options.max_rows),
      max_block_(options.max_block),
      clip_(clip_distance(options.cache, options.shape)) {
  const std::int32_t groups = n_eviction_groups(cache_, model_);
  const PolicyMemory memory = traits_of(cache_.policy).memory;
  layout_ = {.n_layers = model_.n_layers,
             .n_kv_heads = model_.n_kv_heads,
             .head_dim = model_.head_dim,
             .n_eviction_groups = groups,
             .element_bytes = static_cast<std::int32_t>(element_bytes(type)),
             .keeps_unrotated = rotates_again(cache_, clip_),
             .remembers = memory_numbers(memory) >= 1,
             .averages = memory_numbers(memory) == 3};
  for (std::int32_t l = 0; l < model_.n_layers; ++l) {
    const LayerShape& layer = model_.layer(l);
    shapes_.push_back({.n_heads = model_.n_heads,
                       .n_kv_heads = model_.n_kv_heads,
                       .head_dim = model_.head_dim,
                       .heads_per_kv = model_.queries_per_kv_head(),
                       .n_eviction_groups = groups,
                       .heads_per_group = model_.n_heads / groups,
                       .kv_heads_per_group = model_.n_kv_heads / groups,
                       .sliding_window = layer.sliding_window,
                       .first_layer = model_.first_layer,
                       .eps = model_.rms_norm_eps,
                       .scale = score_scale(layer, model_.head_dim),
                       .in_state = cache_.positions == Positions::in_state});
  }
}

std::int64_t AttentionModel::capacity(std::int64_t n_tokens, bool keeps_all) const {
  return state_capacity(cache_, static_cast<std::int64_t>(cache_.cache_size) + 1, n_tokens,
                        keeps_all);
}

std::int64_t AttentionModel::tile_slots(std::int64_t n_tokens, bool keeps_all) const {
  const std::int64_t slots = capacity(n_tokens, keeps_all);
  if (!is_bounded(cache_)) return slots;
  return std::max(slots,
                  cache_.cache_size + std::min<std::int64_t>(kRopeSegmentTokens, max_block_));
}

std::int64_t AttentionModel::decode_slots(std::int64_t n_slots) const {
  const std::int64_t bounded = static_cast<std::int64_t>(cache_.cache_size) + 1;
  return is_bounded(cache_) && n_slots <= bounded ? bounded : capacity(n_slots, true);
}

std::size_t AttentionModel::state_bytes(std::int64_t capacity) const {
  return static_cast<std::size_t>(layout_.layer_bytes(capacity)) *
         static_cast<std::size_t>(layout_.n_layers);
}

std::int64_t AttentionModel::held_after(const StepBlock& block, std::int64_t n_held,
                                        std::int64_t n) const {
  if (!is_bounded(cache_) || block.keeps_all) return n_held + n;
  return std::min<std::int64_t>(n_held + n, cache_.cache_size);
}

std::int64_t AttentionModel::wanted_rotation(std::int64_t position) const {
  return tovamill::wanted_rotation(cache_, clip_, position);
}

DecisionRule AttentionModel::rule_of(const StepBlock& block) const {
  return decision_rule(cache_, block, cache_.cache_size);
}

}  // namespace tovamill::cuda
