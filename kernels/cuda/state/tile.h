// What kernels know of a tile: consecutive queries of one stream that lie in one group of 256
// positions. Made on the host once a step; the same in all layers.
#pragma once

#include <cstdint>

#include "kernels/cuda/state/state.h"
#include "kernels/policy/policies.h"
#include "kernels/types/cache_options.h"

namespace tovamill::cuda {

inline constexpr std::int32_t kAlive = 0x7fffffff;  // death of a token that lives on
// Rows and columns of a product's tile; scores stand in memory padded to multiples.
inline constexpr std::int32_t kGemmTile = 64;

struct TileInfo {
  unsigned char* state;
  std::int64_t capacity;   // columns of keys and values that the state has room for
  std::int64_t rotation;   // wanted of the rotated keys: a shift, or a group (wanted_rotation)
  std::int64_t position;   // of the first query
  std::int32_t first_row;  // of the step's buffers
  std::int32_t n_steps;    // queries
  std::int32_t n_state;    // columns before them
  std::int32_t n_inside;   // keys and values of columns from here on stand in the scratch
  std::int32_t event_row;  // of the first query in the events of a layer
  DecisionRule rule;
  std::int32_t drops;    // whether tokens may leave
  std::int32_t rotates;  // whether the state's keys are to be rotated anew first

  __host__ __device__ std::int32_t n_columns() const { return n_state + n_steps; }
};

// What a query's decision leaves for the host.
struct EventRecord {
  std::int32_t position;    // of the token that left; -1: none did
  float weight;             // its weight from the query, the mean over the heads that decided
  std::int32_t n_attended;  // tokens that the query attended to; 0 where no window hides any
};

// The numbers of a model that attention needs; by value to kernels.
struct AttentionShape {
  std::int32_t n_heads, n_kv_heads, head_dim, per_kv, n_eviction_groups, heads_per_group,
      kv_per_group;
  std::int32_t sliding_window;  // 0: none
  float eps;
  float scale;    // 1 / sqrt(head_dim)
  bool in_state;  // positions (design 3.4)

  __host__ __device__ std::int32_t q_size() const { return n_heads * head_dim; }
  __host__ __device__ std::int32_t kv_size() const { return n_kv_heads * head_dim; }
  __host__ __device__ std::int32_t qkv_size() const { return q_size() + 2 * kv_size(); }
};

// Scratch of the tiles of a wave, each in its slot; device memory.
struct WaveScratch {
  float* scores;          // (slots, n_heads, kRopeSegmentTokens, ld) q . k / sqrt(d)
  std::int32_t ld;        // a multiple of kGemmTile
  std::int32_t* death;    // (slots, n_eviction_groups, ld)
  float* row_max;         // (slots, n_heads, kRopeSegmentTokens) highest among the living
  float* row_scale;       // the same: 1 / sum of exponentials among the living
  std::int32_t* evicted;  // (slots, n_eviction_groups, kRopeSegmentTokens) columns, -1: none
  float* evicted_weight;  // the same
  float* head_weight;     // (slots, n_heads, kRopeSegmentTokens): weights of the evicted
  std::int32_t *move_from, *move_to;  // (slots, n_eviction_groups, kRopeSegmentTokens)
  std::int32_t* n_moves;              // (slots, n_eviction_groups)
  // (slots, n_kv_heads, n_head_arrays, kRopeSegmentTokens, head_dim) keys and values of tokens that
  // join a state which has no room for them
  void* joining;

  __device__ std::int64_t score_row(std::int32_t slot, std::int32_t head, std::int32_t step,
                                    std::int32_t n_heads) const {
    return ((static_cast<std::int64_t>(slot) * n_heads + head) * kRopeSegmentTokens + step) * ld;
  }
  __device__ std::int32_t* deaths(std::int32_t slot, std::int32_t group,
                                  std::int32_t n_eviction_groups) const {
    return death + (static_cast<std::int64_t>(slot) * n_eviction_groups + group) * ld;
  }
};

// The rows of a KV head that a tile sees, each of `width` elements.
template <class T>
struct TileRows {
  T* inside;   // of the state
  T* joining;  // of the scratch: columns from n_inside on
  std::int32_t n_inside, width;

  __device__ TileRows(const LayerView& layer, const TileInfo& tile, std::int32_t slot,
                      std::int32_t kv, HeadArray array, void* scratch)
      : inside(layer.head<T>(kv, array)), n_inside(tile.n_inside), width(layer.layout.head_dim) {
    const std::int64_t head = (static_cast<std::int64_t>(slot) * layer.layout.n_kv_heads + kv) *
                                  layer.layout.n_head_arrays() +
                              layer.layout.index_of(array);
    joining = static_cast<T*>(scratch) + head * kRopeSegmentTokens * width;
  }
  __device__ T* at(std::int32_t column) const {
    return column < n_inside ? inside + static_cast<std::int64_t>(column) * width
                             : joining + static_cast<std::int64_t>(column - n_inside) * width;
  }
};

// exp(score - highest) is softmax_term(score, softmax_shift(highest)): what a score of -inf gives
// is 0, and so does every other score where `highest` is -inf. Exponentials below 2^-126 are 0 on a
// GPU, which saves two of its instructions for each.
inline constexpr float kLog2E = 1.44269504f;
__device__ inline float softmax_shift(float highest) {
  return highest == -INFINITY ? INFINITY : highest * kLog2E;
}
__device__ inline float softmax_term(float score, float shift) {
  const float x = fmaf(score, kLog2E, -shift);
#if defined(__CUDA_ARCH__)
  float power;
  asm("ex2.approx.ftz.f32 %0, %1;" : "=f"(power) : "f"(x));
  return power;
#else
  return exp2f(x);
#endif
}

// Whether the query at `position` sees the token at `token` (Mistral's sliding window).
__host__ __device__ inline bool is_visible(std::int32_t sliding_window, std::int64_t position,
                                           std::int32_t token) {
  return sliding_window <= 0 || token > position - sliding_window;
}

}  // namespace tovamill::cuda
