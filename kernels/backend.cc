#include "kernels/backend.h"

#include <algorithm>

#include "kernels/error.h"

namespace tovamill {

std::int32_t clip_distance(const CacheOptions& cache, const ModelShape& shape) {
  if (cache.clip_distance > 0) return cache.clip_distance;
  return std::max(1, shape.trained_context - kGroupTokens);
}

std::int32_t n_groups(const CacheOptions& cache, const ModelShape& shape) {
  return is_head_wise(cache.policy) ? shape.n_kv_heads : 1;
}

std::int32_t protected_recent(const CacheOptions& cache) {
  return cache.recent >= 0 ? cache.recent : cache.cache_size / 2;
}

std::unique_ptr<Backend> make_backend(const std::string& device, const BackendOptions& options) {
  if (device == "auto" || device == "cpu") return make_cpu_backend(options);
  if (device == "reference") return make_reference_backend(options);
  if (device == "cuda") {
    throw Error(ExitCode::no_device, "--device cuda: this build has no CUDA; use --device cpu");
  }
  throw Error(ExitCode::usage,
              "--device '" + device + "' is not known: choose one of auto, cpu, cuda");
}

}  // namespace tovamill
