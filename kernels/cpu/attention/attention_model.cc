#include "kernels/cpu/attention/attention_model.h"

#include <algorithm>

namespace tovamill::cpu {
namespace {

std::vector<LayerPlaces> places_of_layers(const CacheOptions& cache, const ModelShape& shape) {
  std::vector<LayerPlaces> places;
  for (std::int32_t l = 0; is_bounded(cache) && l < shape.n_layers; ++l)
    places.push_back(places_of(cache, shape, l));
  return places;
}

std::vector<LayerHeads> heads_of_layers(const ModelShape& shape) {
  std::vector<LayerHeads> heads;
  for (std::int32_t l = 0; l < shape.n_layers; ++l) heads.push_back(shape.heads(l));
  return heads;
}

ModelShape with_heads_of(ModelShape shape, std::int32_t layer) {
  const LayerHeads heads = shape.heads(layer);
  shape.n_heads = heads.n_heads;
  shape.n_kv_heads = heads.n_kv_heads;
  shape.head_dim = heads.head_dim;
  return shape;
}

}  // namespace

AttentionModel::AttentionModel(const BackendOptions& options, ComputeType compute_type,
                               std::int32_t layer)
    : shape(with_heads_of(options.shape, layer)),
      cache(fitted_to_windows(options.cache, options.shape)),
      type(compute_type),
      max_rows(options.max_rows),
      tile_queries(needs_scan() ? kScanTile : kRopeSegmentTokens),
      per_kv(shape.queries_per_kv_head()),
      n_groups(n_eviction_groups(cache, options.shape)),
      kv_per_group(shape.n_kv_heads / n_groups),
      heads_per_group(shape.n_heads / n_groups),
      part_queries(std::max(1, kPartRows / per_kv)),
      padded_dim(static_cast<std::int32_t>(pad_slots(shape.head_dim))),
      clip(clip_distance(cache, shape)),
      layout{.heads = heads_of_layers(options.shape),
             .n_eviction_groups = n_groups,
             .storage = compute_type,
             .keeps_unrotated = rotates_again(cache, clip),
             .memory = traits_of(cache.policy).memory,
             .places = places_of_layers(cache, shape),
             .tile_queries = tile_queries} {}

std::int64_t AttentionModel::capacity(std::int64_t n_tokens, bool keeps_all) const {
  return state_capacity(cache, layout.bounded_capacity(), n_tokens, keeps_all);
}

std::int64_t AttentionModel::wanted_rotation(std::int64_t position) const {
  return tovamill::wanted_rotation(cache, clip, position);
}

}  // namespace tovamill::cpu
