// What kernels know of a tile: consecutive queries of one stream that lie in one RoPE segment (256
// positions), and in one merge interval where tokens are merged. Made on the host once a step; the
// same in all layers, or, where they differ in their places, one for each (StepLayout).
//
// A slot is a place of the tile's keys: slots [0, n_state) are the state's, those behind are the
// tile's own tokens in their order.
#pragma once

#include <cstdint>

#include "kernels/cuda/state/state.h"
#include "kernels/policy/policies.h"
#include "kernels/types/cache_options.h"

namespace tovamill::cuda {

inline constexpr std::int32_t kLive = 0x7fffffff;  // eviction step of a token that has not left
// Rows and columns of a GEMM's tile; scores stand in memory padded to multiples.
inline constexpr std::int32_t kGemmTile = 64;

struct TileInfo {
  unsigned char* state;
  std::int64_t capacity;  // slots of keys and values that the state has room for
  std::int64_t rotation;  // wanted of the rotated keys: a shift, or a segment (wanted_rotation)
  std::int64_t rotation_before;  // what they are relative to
  std::int64_t position;         // of the first query
  std::int32_t first_row;        // of the step's buffers
  std::int32_t n_queries;
  std::int32_t n_state;    // slots before those of the queries' own tokens
  std::int32_t n_stored;   // keys and values of slots from here on stand in the scratch
  std::int32_t event_row;  // of the first query in the events of a layer
  DecisionRule rule;
  std::int32_t evicts;   // whether tokens may leave
  std::int32_t rotates;  // whether the state's keys are to be rotated anew first
  // CudaState's, before the tile.
  std::int32_t n_held, n_grown;

  __host__ __device__ std::int32_t n_slots() const { return n_state + n_queries; }
};

// What a query's decision leaves for the host.
struct EventRecord {
  std::int32_t position;    // of the evicted token; -1: none was
  float weight;             // its weight from the query, the mean over the heads that decided
  std::int32_t n_attended;  // tokens that the query attended to; 0 where no window hides any
};

// The numbers of a model that attention needs; by value to kernels.
struct AttentionShape {
  std::int32_t n_heads, n_kv_heads, head_dim;
  std::int32_t heads_per_kv;        // query heads of a KV head
  std::int32_t n_eviction_groups;   // n_kv_heads of head-wise policies, else 1
  std::int32_t heads_per_group;     // query heads of an eviction group
  std::int32_t kv_heads_per_group;  // KV heads of an eviction group
  std::int32_t sliding_window;      // 0: none
  std::int32_t first_layer;         // of the whole model
  float eps;                        // of the norms of queries and keys
  float scale;                      // of scores: LayerShape::attention_scale
  float score_cap;                  // LayerShape::score_cap
  float query_beta;                 // LayerShape's
  std::int32_t query_length;
  bool norms_rows;               // QkNorm::row
  bool in_state;                 // positions (kernels/README.md, "Positions")
  std::int32_t cache_size;       // places of the layer
  std::int32_t n_merged;         // of them, of merged tokens
  const float* sinks = nullptr;  // (n_heads) LayerShape::has_sinks, else null

  // q . k as the softmax takes it.
  __device__ float score_of(float product) const {
    const float score = product * scale;
    return score_cap > 0.0f ? score_cap * tanhf(score / score_cap) : score;
  }
  // LayerShape's query_factor.
  __device__ float query_factor(std::int64_t position) const {
    if (query_beta == 0.0f) return 1.0f;
    return 1.0f + query_beta * logf(1.0f + static_cast<float>(position / query_length));
  }
  // What is in the denominator of a head's softmax beside the scores; -inf: nothing.
  __device__ float sink(std::int32_t head) const {
    return sinks == nullptr ? -INFINITY : sinks[head];
  }
  __host__ __device__ std::int32_t q_size() const { return n_heads * head_dim; }
  __host__ __device__ std::int32_t kv_size() const { return n_kv_heads * head_dim; }
  __host__ __device__ std::int32_t qkv_size() const { return q_size() + 2 * kv_size(); }
};

// Scratch of the tiles of a batch; device memory. Queries of a tile are padded to
// kRopeSegmentTokens.
struct TileScratch {
  float* scores;                // (tiles, n_heads, kRopeSegmentTokens, ld) q . k / sqrt(head_dim)
  std::int32_t ld;              // slots, padded to a multiple of kGemmTile
  std::int32_t* eviction_step;  // (tiles, n_eviction_groups, ld) the query of the tile after which
                                // a slot's token leaves; kLive: none, -1: the slot is padding
  float* row_max;               // (tiles, n_heads, kRopeSegmentTokens) of the scores of live slots
  float* row_scale;             // the same: 1 / sum of exponentials of live slots
  std::int32_t* evicted;        // (tiles, n_eviction_groups, kRopeSegmentTokens) slots, -1: none
  float* evicted_weight;        // the same
  float* head_weight;           // (tiles, n_heads, kRopeSegmentTokens): weights of the evicted
  std::int32_t *move_from, *move_to;  // (tiles, n_eviction_groups, kRopeSegmentTokens) slots
  std::int32_t* n_moves;              // (tiles, n_eviction_groups)
  // (tiles, n_kv_heads, n_head_arrays, kRopeSegmentTokens, head_dim) keys and values of tokens that
  // are appended to a state which has no room for them
  void* appended;

  // Index of a query's row: of row_max, row_scale and head_weight; times ld, of scores.
  __device__ std::int64_t row(std::int32_t tile, std::int32_t head, std::int32_t query,
                              std::int32_t n_heads) const {
    return (static_cast<std::int64_t>(tile) * n_heads + head) * kRopeSegmentTokens + query;
  }
  // Index of an eviction group's first query in evicted, evicted_weight, move_from and move_to.
  __device__ std::int64_t list(std::int32_t tile, std::int32_t group,
                               std::int32_t n_eviction_groups) const {
    return (static_cast<std::int64_t>(tile) * n_eviction_groups + group) * kRopeSegmentTokens;
  }
  // (ld) of an eviction group.
  __device__ std::int32_t* eviction_steps(std::int32_t tile, std::int32_t group,
                                          std::int32_t n_eviction_groups) const {
    return eviction_step + (static_cast<std::int64_t>(tile) * n_eviction_groups + group) * ld;
  }
};

// The rows of a KV head that a tile sees, each of `width` elements.
template <class T>
struct TileRows {
  T* stored;    // of the state: slots below n_stored
  T* appended;  // of the scratch: slots from n_stored on
  std::int32_t n_stored, width;

  // `tile_index`: of the tile in its batch.
  __device__ TileRows(const LayerView& layer, const TileInfo& tile, std::int32_t tile_index,
                      std::int32_t kv, HeadArray array, void* scratch)
      : stored(layer.head<T>(kv, array)), n_stored(tile.n_stored), width(layer.layout.head_dim) {
    const std::int64_t head =
        (static_cast<std::int64_t>(tile_index) * layer.layout.n_kv_heads + kv) *
            layer.layout.n_head_arrays() +
        layer.layout.index_of(array);
    appended = scratch == nullptr  // where it is not looked at
                   ? nullptr
                   : static_cast<T*>(scratch) + head * kRopeSegmentTokens * width;
  }
  __device__ T* at(std::int32_t slot) const {
    return slot < n_stored ? stored + static_cast<std::int64_t>(slot) * width
                           : appended + static_cast<std::int64_t>(slot - n_stored) * width;
  }
};

// exp(score - row_max) is softmax_term(score, softmax_shift(row_max)): what a score of -inf gives
// is 0, and so does every other score where `row_max` is -inf. Exponentials below 2^-126 are 0 on a
// GPU, which saves two of its instructions for each.
inline constexpr float kLog2E = 1.44269504f;
__device__ inline float softmax_shift(float row_max) {
  return row_max == -INFINITY ? INFINITY : row_max * kLog2E;
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
