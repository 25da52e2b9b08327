// The multi-state of one sequence in the memory of a GPU: of each layer the unrotated and the
// rotated keys, the values, the positions and what the policy remembers. Slots carry no order: each
// knows its position. How many are taken follows from the tokens read, so the host always knows it
// without asking the device. A bounded state has slots for the tokens that it keeps and one more:
// those of a longer block stand in the scratch of attention until it is known which stay.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <utility>

#include "kernels/backend.h"
#include "kernels/cuda/device/arena.h"
#include "kernels/cuda/device/device_code.h"
#include "kernels/types/cache_options.h"

namespace tovamill::cuda {

// What a state keeps of a token for each KV head.
enum class HeadArray : std::uint8_t { unrotated, rotated, values };

// Where things stand in a state of a backend; passed to kernels by value.
struct StateLayout {
  std::int32_t n_layers = 0, n_kv_heads = 0, head_dim = 0, n_eviction_groups = 1;
  std::int32_t element_bytes = 4;  // of keys and values
  bool keeps_unrotated = true;     // false where no key is ever rotated again
  bool remembers = false;          // h2o, tova-ema: a float a slot
  bool averages = false;           // tova-ema: two more

  static constexpr std::int64_t kAlign = 256;
  __host__ __device__ static std::int64_t align(std::int64_t n) {
    return (n + kAlign - 1) / kAlign * kAlign;
  }
  // Bytes of the rows (capacity, head_dim) of one KV head; and of a number for each slot of the
  // state and of a tile.
  __host__ __device__ std::int64_t head_bytes(std::int64_t capacity) const {
    return align(capacity * head_dim * element_bytes);
  }
  __host__ __device__ std::int64_t slot_array_bytes(std::int64_t capacity) const {
    return align((capacity + kRopeSegmentTokens) * 4);
  }
  __host__ __device__ std::int64_t n_head_arrays() const { return keeps_unrotated ? 3 : 2; }
  __host__ __device__ std::int64_t index_of(HeadArray array) const {
    return static_cast<std::int64_t>(array) - (keeps_unrotated ? 0 : 1);
  }
  __host__ __device__ std::int64_t n_slot_arrays() const {
    return 1 + (remembers ? 1 : 0) + (averages ? 2 : 0);
  }
  // Of all arrays of slots.
  __host__ __device__ std::int64_t layer_bytes(std::int64_t capacity) const {
    return n_kv_heads * n_head_arrays() * head_bytes(capacity) +
           n_eviction_groups * n_slot_arrays() * slot_array_bytes(capacity);
  }
  // Of what a layer with so many places of merged tokens has behind them (MergeView).
  __host__ __device__ std::int64_t merge_bytes(std::int32_t n_heads, std::int32_t n_merged) const {
    if (n_merged == 0) return 0;
    const std::int64_t left = static_cast<std::int64_t>(n_kv_heads) * kMergeInterval;
    return align(8ll * n_kv_heads * n_merged) + align(4ll * n_kv_heads * n_merged) +
           align(8ll * n_heads * head_dim) + align(4ll * kMergeInterval) +
           2 * align(left * head_dim * element_bytes);
  }
};

// One layer of a state of `capacity` slots.
struct LayerView {
  unsigned char* base;
  StateLayout layout;
  std::int64_t capacity;

  __host__ __device__ LayerView(unsigned char* state, const StateLayout& l, std::int64_t c,
                                std::int32_t layer)
      : base(state + layer * l.layer_bytes(c)), layout(l), capacity(c) {}

  // Rows of one KV head, (capacity, head_dim); there are no unrotated ones where they are not kept.
  template <class T>
  __host__ __device__ T* head(std::int32_t kv, HeadArray array) const {
    return reinterpret_cast<T*>(base + (kv * layout.n_head_arrays() + layout.index_of(array)) *
                                           layout.head_bytes(capacity));
  }
  // (capacity + kRopeSegmentTokens) of one eviction group.
  __host__ __device__ std::int32_t* positions(std::int32_t group) const {
    return reinterpret_cast<std::int32_t*>(slot_array(group, 0));
  }
  __host__ __device__ float* memory(std::int32_t group) const {
    return reinterpret_cast<float*>(slot_array(group, 1));
  }
  __host__ __device__ float* decay_power(std::int32_t group) const {
    return reinterpret_cast<float*>(slot_array(group, 2));
  }
  __host__ __device__ float* value_norm(std::int32_t group) const {
    return reinterpret_cast<float*>(slot_array(group, 3));
  }

 private:
  __host__ __device__ unsigned char* slot_array(std::int32_t group, std::int64_t array) const {
    return base + layout.n_kv_heads * layout.n_head_arrays() * layout.head_bytes(capacity) +
           (group * layout.n_slot_arrays() + array) * layout.slot_array_bytes(capacity);
  }
};

// What a layer that merges has behind its slots (kernels/README.md, "Merged tokens"). The places of
// merged tokens are the first slots.
struct MergeView {
  double* positions;  // (n_kv_heads, n_merged) mean positions
  float* biases;      // (n_kv_heads, n_merged) of scores; -inf: the place is not used
  float* query_sums;  // (n_heads, 2, head_dim) of queries since the last merge, of squares
  std::int32_t* left_positions;            // (kMergeInterval) of tokens that left since
  unsigned char *left_keys, *left_values;  // (n_kv_heads, kMergeInterval, head_dim)

  __host__ __device__ MergeView(const LayerView& layer, std::int32_t n_heads,
                                std::int32_t n_merged) {
    const StateLayout& l = layer.layout;
    unsigned char* at = layer.base + l.layer_bytes(layer.capacity);
    positions = reinterpret_cast<double*>(at);
    at += StateLayout::align(8ll * l.n_kv_heads * n_merged);
    biases = reinterpret_cast<float*>(at);
    at += StateLayout::align(4ll * l.n_kv_heads * n_merged);
    query_sums = reinterpret_cast<float*>(at);
    at += StateLayout::align(8ll * n_heads * l.head_dim);
    left_positions = reinterpret_cast<std::int32_t*>(at);
    at += StateLayout::align(4ll * kMergeInterval);
    left_keys = at;
    left_values = at + StateLayout::align(static_cast<std::int64_t>(l.n_kv_heads) * kMergeInterval *
                                          l.head_dim * l.element_bytes);
  }
  // (head_dim) of a token that left, the i-th since the last merge.
  template <class T>
  __host__ __device__ T* left_row(unsigned char* rows, std::int32_t kv, std::int32_t i,
                                  std::int32_t head_dim) const {
    return reinterpret_cast<T*>(rows) +
           (static_cast<std::int64_t>(kv) * kMergeInterval + i) * head_dim;
  }
};

// The position of merged tokens among those of slots: below all that may leave.
inline constexpr std::int32_t kMergedPosition = -1;

// Steps are numbered in the order in which they begin, from 1 on; 0 is none.
using StepNumber = std::uint64_t;

class CudaStatePool;

class CudaState final : public StreamState {
 public:
  explicit CudaState(std::weak_ptr<CudaStatePool> owner) : pool(std::move(owner)) {}
  ~CudaState() override;  // steps in flight may still read what it has

  ArenaBlock memory;          // AttentionModel::layer_offset of each layer
  std::int64_t capacity = 0;  // slots of keys and values of the widest layer
  // Tokens held by each eviction group of each layer; where layers differ, of the one that takes
  // most. `n_grown` of them came in blocks that keep all since tokens left: those every layer
  // holds.
  std::int64_t n_held = 0, n_grown = 0;
  std::int64_t n_tokens = 0;  // that the sequence has read: the position of its next one
  std::int64_t rotation = 0;  // what the rotated keys are relative to (wanted_rotation)
  std::int64_t segment_base =
      0;                     // in-state positions: tokens held when the current RoPE segment began
  std::int32_t pin = 0;      // StepBlock::pin of the blocks so far
  StepNumber last_step = 0;  // that uses it
  std::weak_ptr<CudaStatePool> pool;

  unsigned char* data() const { return static_cast<unsigned char*>(memory.data()); }
};

}  // namespace tovamill::cuda
