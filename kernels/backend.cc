#include "kernels/backend.h"

#include <algorithm>

#include "kernels/types/error.h"

namespace tovamill {

std::int32_t clip_distance(const CacheOptions& cache, const ModelShape& shape) {
  if (cache.clip_distance > 0) return cache.clip_distance;
  return std::max(1, shape.trained_context - kRopeSegmentTokens);
}

bool rotates_again(const CacheOptions& cache, std::int64_t clip) {
  if (cache.positions == Positions::absolute) return false;
  if (cache.chunk_tokens <= 0) return true;
  const std::int64_t last_group =
      (cache.chunk_tokens - 1) / kRopeSegmentTokens * kRopeSegmentTokens;
  return cache.positions == Positions::in_state ? last_group > 0 : last_group > clip;
}

std::int32_t n_eviction_groups(const CacheOptions& cache, const ModelShape& shape) {
  return is_head_wise(cache.policy) ? shape.n_kv_heads : 1;
}

std::int32_t protected_recent(const CacheOptions& cache) {
  return cache.recent >= 0 ? cache.recent : cache.cache_size / 2;
}

CacheOptions block_options(const CacheOptions& cache, std::int32_t pin) {
  CacheOptions o = cache;
  switch (cache.policy) {
    case Policy::tova:
    case Policy::tova_head:
    case Policy::tova_ema:
      o.pin = std::max(cache.pin, pin);
      break;
    case Policy::h2o:
    case Policy::h2o_head:
      o.pin = pin;
      o.recent = std::min(protected_recent(cache), cache.cache_size - pin);
      break;
    case Policy::window:
      o.sinks = std::max(cache.sinks, pin);
      break;
    case Policy::full:
      break;
  }
  return o;
}

void check_block(const CacheOptions& cache, const StepBlock& block, std::int64_t n_held) {
  if (!is_bounded(cache)) return;
  const std::string k = std::to_string(cache.cache_size);
  if (block.pin < 0 || block.pin >= cache.cache_size) {
    throw Error(ExitCode::internal, "a block pins " + std::to_string(block.pin) +
                                        " tokens (the cache size is " + k + "): pin fewer");
  }
  if (!block.keeps_all && n_held > cache.cache_size && block.n_tokens != 1) {
    throw Error(ExitCode::internal, "a block of " + std::to_string(block.n_tokens) +
                                        " tokens meets a state of " + std::to_string(n_held) +
                                        " (the cache size is " + k +
                                        "): bring the state down by a block of one token first");
  }
}

std::vector<std::vector<std::int32_t>> read_each_position(const Backend& backend,
                                                          const StreamState& state,
                                                          std::int32_t n_layers,
                                                          std::int32_t n_eviction_groups) {
  std::vector<std::vector<std::int32_t>> all;
  for (std::int32_t layer = 0; layer < n_layers; ++layer) {
    for (std::int32_t group = 0; group < n_eviction_groups; ++group)
      all.push_back(backend.read_positions(state, layer, group));
  }
  return all;
}

std::unique_ptr<Backend> make_backend(DeviceKind device, const BackendOptions& options) {
  switch (device) {
    case DeviceKind::cpu:
      return make_cpu_backend(options);
    case DeviceKind::cuda:
      return make_cuda_backend(options);
    case DeviceKind::reference:
      return make_reference_backend(options);
  }
  throw Error(ExitCode::internal, "make_backend: a device out of range");
}

}  // namespace tovamill
