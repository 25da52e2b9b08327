#include "kernels/state_plan.h"

#include <algorithm>
#include <string>
#include <utility>

#include "kernels/backend.h"
#include "kernels/types/error.h"

namespace tovamill {

std::int32_t n_eviction_groups(const CacheOptions& cache, const ModelShape& shape) {
  if (traits_of(cache.policy).decided_by != DecidedBy::kv_head) return 1;
  for (std::int32_t l = 0; l < shape.n_layers; ++l) {
    if (shape.heads(l).n_kv_heads == shape.n_kv_heads) continue;
    throw Error(ExitCode::configuration,
                "--policy " + std::string(name_of(cache.policy)) +
                    " is not supported here: the model's layers differ in their numbers of "
                    "key-value heads; give a policy that decides for the layer");
  }
  return shape.n_kv_heads;
}

std::int32_t protected_recent(const CacheOptions& cache) {
  return cache.recent >= 0 ? cache.recent : cache.cache_size / 2;
}

CacheOptions block_options(const CacheOptions& cache, std::int32_t pin) {
  const PolicyTraits& policy = traits_of(cache.policy);
  CacheOptions o = cache;
  if (!policy.is_bounded) return o;
  if (policy.takes(kTakesSinks)) {
    o.sinks = std::max(cache.sinks, pin);
    return o;
  }
  o.pin = policy.takes(kTakesPin) ? std::max(cache.pin, pin) : pin;
  if (policy.takes(kTakesRecent))
    o.recent = std::min(protected_recent(cache), cache.cache_size - pin);
  return o;
}

CacheOptions fitted_to_windows(const CacheOptions& cache, const ModelShape& shape) {
  CacheOptions fitted = cache;
  if (!is_bounded(cache) || cache.positions == Positions::in_state) return fitted;
  std::vector<std::int32_t> sizes = cache.layer_sizes;
  if (sizes.empty()) sizes.assign(shape.layers.size(), cache.cache_size);
  bool differs = false;
  for (std::size_t l = 0; l < shape.layers.size(); ++l) {
    const std::int32_t window = shape.layers[l].sliding_window;
    if (window <= 0 || window > sizes.at(l)) continue;
    sizes[l] = window;
    differs = true;
  }
  if (differs) fitted.layer_sizes = std::move(sizes);
  return fitted;
}

LayerPlaces places_of(const CacheOptions& cache, const ModelShape& shape, std::int32_t index) {
  const auto l = static_cast<std::size_t>(shape.first_layer + index);
  const LayerShape& layer = shape.layers.at(l);
  const std::int32_t size = cache.layer_sizes.empty() ? cache.cache_size : cache.layer_sizes.at(l);
  const bool may_merge = layer.sliding_window == 0 && layer.score_cap == 0 && !layer.has_sinks;
  return {.size = size,
          .merged = may_merge ? cache.merge : 0,
          .is_window = layer.sliding_window > 0 && layer.sliding_window == size &&
                       cache.positions != Positions::in_state};
}

DecisionRule decision_rule(const CacheOptions& cache, const StepBlock& block,
                           const LayerPlaces& places) {
  if (places.is_window) return {.policy = Policy::window, .cache_size = places.size};
  const PolicyTraits& policy = traits_of(cache.policy);
  const CacheOptions o = block_options(cache, block.pin);
  return {.policy = cache.policy,
          .cache_size = places.size,
          .first_free = policy.takes(kTakesSinks) ? o.sinks : o.pin,
          .recent = policy.takes(kTakesRecent) ? protected_recent(o) : 0,
          .decay = static_cast<float>(cache.ema),
          .random_key = block.random_key};
}

void check_block(const CacheOptions& cache, const StepBlock& block, const LayerPlaces& places,
                 std::int64_t n_held) {
  if (!is_bounded(cache)) return;
  const std::string k = std::to_string(places.size);
  if (block.pin < 0 || (!places.is_window && block.pin >= places.size - places.merged)) {
    throw Error(ExitCode::internal,
                "a block pins " + std::to_string(block.pin) + " tokens (the cache size is " + k +
                    ", " + std::to_string(places.merged) + " of them merged): pin fewer");
  }
  if (block.keeps_all && places.merged > 0)
    throw Error(ExitCode::internal, "a block keeps all tokens where those that leave are merged");
  if (!block.keeps_all && n_held > places.size && block.n_tokens != 1) {
    throw Error(ExitCode::internal, "a block of " + std::to_string(block.n_tokens) +
                                        " tokens meets a state of " + std::to_string(n_held) +
                                        " (the cache size is " + k +
                                        "): bring the state down by a block of one token first");
  }
}

// Growing states grow by an eighth: each token moves a few times at most, however long the stream.
std::int64_t state_capacity(const CacheOptions& cache, std::int64_t bounded, std::int64_t n_tokens,
                            bool keeps_all) {
  if (is_bounded(cache) && !keeps_all) return bounded;
  std::int64_t room = kRopeSegmentTokens;
  while (room < n_tokens)
    room += std::max<std::int64_t>(1, room / 8 / kRopeSegmentTokens) * kRopeSegmentTokens;
  return is_bounded(cache) ? std::max(bounded, room) : room;
}

std::int32_t clip_distance(const CacheOptions& cache, const ModelShape& shape) {
  if (cache.clip_distance > 0) return cache.clip_distance;
  return std::max(1, shape.trained_context - kRopeSegmentTokens);
}

bool rotates_again(const CacheOptions& cache, std::int64_t clip) {
  if (cache.positions == Positions::absolute) return false;
  if (cache.chunk_tokens <= 0) return true;
  const std::int64_t last_segment =
      (cache.chunk_tokens - 1) / kRopeSegmentTokens * kRopeSegmentTokens;
  return cache.positions == Positions::in_state ? last_segment > 0 : last_segment > clip;
}

std::int64_t wanted_rotation(const CacheOptions& cache, std::int64_t clip, std::int64_t position) {
  const std::int64_t segment = position / kRopeSegmentTokens * kRopeSegmentTokens;
  if (cache.positions == Positions::clipped) return std::max<std::int64_t>(0, segment - clip);
  return cache.positions == Positions::in_state ? segment : 0;
}

std::int64_t rotary_position(const CacheOptions& cache, std::int64_t clip, std::int64_t position,
                             std::int64_t n_before) {
  if (cache.positions == Positions::in_state) return n_before + position % kRopeSegmentTokens;
  if (cache.positions == Positions::absolute) return position;
  return position - wanted_rotation(cache, clip, position);
}

}  // namespace tovamill
