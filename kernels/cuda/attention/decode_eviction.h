// What an eviction group does with the weights of a decoding query: their mean over its heads goes
// to the policy, which evicts as many tokens as the state holds too many (one, or after a prefill
// that kept all, many), and the last slots' tokens move into the freed ones. By one thread block of
// kThreads threads. Device code of attention_decode.cu.
#pragma once

#include "kernels/cuda/attention/attention_kernels.h"
#include "kernels/cuda/attention/decode_rows.h"
#include "kernels/cuda/attention/merge_interval.h"
#include "kernels/cuda/device/warp.h"

namespace tovamill::cuda::decode_eviction {

using decode_rows::kThreads;
using decode_rows::kWarps;

// An eviction group of a stream that decodes: what its block reads and writes.
template <class T>
struct DecodedGroup {
  const DecodeArguments<T>& a;
  const TileInfo& tile;
  LayerView layer;
  std::int32_t tile_index, group, n;      // n: slots, the new token's included
  std::int64_t event;                     // index in `events`
  std::int32_t* positions;                // (n)
  float *memory, *decay_power;            // (n) of the policy, or null
  const float* value_norm;                // (n), or null
  float* mean;                            // (n) the weights' means over heads
  std::int32_t *eviction_step, *move_to;  // (n)

  __device__ DecodedGroup(const DecodeArguments<T>& arguments, std::int32_t index, std::int32_t g)
      : a(arguments),
        tile(a.tiles[index]),
        layer(tile.state, a.layout, tile.capacity, a.layer),
        tile_index(index),
        group(g),
        n(tile.n_slots()),
        event(static_cast<std::int64_t>(tile.event_row) * a.shape.n_eviction_groups + g),
        positions(layer.positions(g)),
        memory(a.layout.remembers ? layer.memory(g) : nullptr),
        decay_power(a.layout.averages ? layer.decay_power(g) : nullptr),
        value_norm(a.layout.averages ? layer.value_norm(g) : nullptr) {
    const std::int64_t list =
        (static_cast<std::int64_t>(index) * a.shape.n_eviction_groups + g) * a.ld;
    mean = a.mean + list;
    eviction_step = a.eviction_step + list;
    move_to = a.move_to + list;
  }
  __device__ TokenMemory kept(std::int32_t j) const {
    TokenMemory kept;
    if (memory != nullptr) kept.sum = memory[j];
    if (decay_power != nullptr) {
      kept.decay_power = decay_power[j];
      kept.value_norm = value_norm[j];
    }
    return kept;
  }
};

// The mean over the group's heads of slot j's weights.
template <class T>
__device__ float mean_weight(const DecodedGroup<T>& g, std::int32_t j) {
  const AttentionShape& shape = g.a.shape;
  const std::int32_t first_head = g.group * shape.heads_per_group;
  float weight = 0.0f;
#pragma unroll 8
  for (std::int32_t h = first_head; h < first_head + shape.heads_per_group; ++h) {
    const std::int64_t row = static_cast<std::int64_t>(g.tile_index) * shape.n_heads + h;
    weight += g.a.weights[row * g.a.ld + j] * g.a.inverse_sum[row];
  }
  return weight * (1.0f / static_cast<float>(shape.heads_per_group));
}

// Lets the policy remember the query's weights; says how many slots of the thread's the query sees.
template <class T>
__device__ std::int32_t remember_weights(const DecodedGroup<T>& g) {
  std::int32_t n_visible = 0;
  for (auto j = static_cast<std::int32_t>(threadIdx.x); j < g.n; j += kThreads) {
    const float weight = mean_weight(g, j);
    g.mean[j] = weight;
    g.eviction_step[j] = kLive;
    n_visible += is_visible(g.a.shape.sliding_window, g.tile.position, g.positions[j]) ? 1 : 0;
    if (g.memory == nullptr || g.tile.evicts == 0) continue;
    TokenMemory kept{g.memory[j], 1.0f, 0.0f};
    if (g.decay_power != nullptr) kept.decay_power = g.decay_power[j];
    remember(g.tile.rule, weight, kept);
    g.memory[j] = kept.sum;
    if (g.decay_power != nullptr) g.decay_power[j] = kept.decay_power;
  }
  return n_visible;
}

// The sum over all threads, in all threads. `shared` (kWarps).
__device__ inline std::int32_t block_count(std::int32_t n, Candidate* shared) {
  const auto thread = static_cast<std::int32_t>(threadIdx.x);
  for (int i = kLanes / 2; i > 0; i /= 2) n += __shfl_xor_sync(kAllLanes, n, i);
  __syncthreads();
  if (thread % kLanes == 0) shared[thread / kLanes].slot = n;
  __syncthreads();
  n = 0;
  for (int w = 0; w < kWarps; ++w) n += shared[w].slot;
  return n;
}

// The first candidate of all threads, in all threads. `shared` (kWarps).
__device__ inline Candidate block_first(Candidate c, Candidate* shared) {
  c = warp_first(c);
  __syncthreads();
  if (threadIdx.x % kLanes == 0) shared[threadIdx.x / kLanes] = c;
  __syncthreads();
  c = shared[0];
  for (int w = 1; w < kWarps; ++w) {
    if (leaves_before(shared[w], c)) c = shared[w];
  }
  return c;
}

// The live slot that the policy evicts next; none where all are protected.
template <class T>
__device__ Candidate next_eviction(const DecodedGroup<T>& g, Candidate* shared) {
  const Decision decision{static_cast<std::int32_t>(g.tile.position),
                          g.a.shape.first_layer + g.a.layer, g.group};
  Candidate best = no_candidate();
  for (auto j = static_cast<std::int32_t>(threadIdx.x); j < g.n; j += kThreads) {
    if (g.eviction_step[j] != kLive || !may_leave(g.tile.rule, g.positions[j], decision.now))
      continue;
    const Candidate c{score_of(g.tile.rule, decision, {g.mean[j], g.positions[j], g.kept(j)}),
                      g.positions[j], j};
    if (leaves_before(c, best)) best = c;
  }
  return block_first(best, shared);
}

struct Evicted {
  std::int32_t n_left;     // slots that are live
  std::int32_t last_slot;  // evicted last, -1: none
};

// Evicts until the state holds no more than the cache size, and records each eviction.
template <class T>
__device__ Evicted evict_tokens(const DecodedGroup<T>& g, std::int32_t n_visible,
                                Candidate* shared) {
  const DecodeArguments<T>& a = g.a;
  const std::int32_t n_evictions =
      g.tile.evicts != 0 && g.n > g.tile.rule.cache_size ? g.n - g.tile.rule.cache_size : 0;
  Evicted result{g.n, -1};
  for (std::int32_t i = 0; i < n_evictions; ++i) {
    __syncthreads();
    const Candidate best = next_eviction(g, shared);
    if (best.slot < 0) break;
    --result.n_left;
    result.last_slot = best.slot;
    if (threadIdx.x != 0) continue;
    g.eviction_step[best.slot] = 0;
    const EventRecord record{g.positions[best.slot], g.mean[best.slot], n_visible};
    if (a.evictions != nullptr) {
      a.evictions[(static_cast<std::int64_t>(g.tile_index) * a.shape.n_eviction_groups + g.group) *
                      a.max_evictions +
                  i] = record;
    } else {
      a.events[g.event] = record;
    }
  }
  return result;
}

// Survivors from the end move into freed slots: from eviction_step[i] (which is not needed any
// more) to move_to[i]. Says how many; by one thread.
template <class T>
__device__ std::int32_t list_moves(const DecodedGroup<T>& g, const Evicted& evicted) {
  const std::int32_t n_left = evicted.n_left;
  std::int32_t n_moves = 0;
  if (n_left == g.n - 1) {
    g.move_to[0] = evicted.last_slot;
    g.eviction_step[0] = n_left;
    return evicted.last_slot != n_left ? 1 : 0;
  }
  if (n_left == g.n) return 0;
  for (std::int32_t j = 0; j < n_left; ++j) {
    if (g.eviction_step[j] != kLive) g.move_to[n_moves++] = j;
  }
  for (std::int32_t j = n_left, i = 0; j < g.n; ++j) {
    if (g.eviction_step[j] == kLive) g.eviction_step[i++] = j;
  }
  return n_moves;
}

// Keys and values of the group's KV heads; rows consist of `n_parts` of `V`.
template <class V, class T>
__device__ void move_rows(const DecodedGroup<T>& g, std::int32_t n_parts, std::int32_t n_moves) {
  const std::int32_t n_kv = g.a.shape.kv_heads_per_group, first_kv = g.group * n_kv,
                     n_arrays = g.a.layout.keeps_unrotated ? 3 : 2;
  copy_all<V>(n_moves * n_kv * n_arrays * n_parts, [&](std::int32_t i) {
    const std::int32_t part = i % n_parts, row = i / n_parts, array = row % n_arrays,
                       kv = first_kv + row / n_arrays % n_kv, move = row / n_arrays / n_kv;
    V* rows =
        reinterpret_cast<V*>(array == 0   ? g.layer.template head<T>(kv, HeadArray::values)
                             : array == 1 ? g.layer.template head<T>(kv, HeadArray::rotated)
                                          : g.layer.template head<T>(kv, HeadArray::unrotated));
    return Copy<V>{rows + static_cast<std::int64_t>(g.eviction_step[move]) * n_parts + part,
                   rows + static_cast<std::int64_t>(g.move_to[move]) * n_parts + part};
  });
}

// What the group keeps of a slot.
template <class T>
__device__ void move_slots(const DecodedGroup<T>& g, std::int32_t n_moves) {
  for (auto i = static_cast<std::int32_t>(threadIdx.x); i < n_moves; i += kThreads) {
    const std::int32_t from = g.eviction_step[i], to = g.move_to[i];
    g.positions[to] = g.positions[from];
    if (g.memory != nullptr) g.memory[to] = g.memory[from];
    if (g.decay_power == nullptr) continue;
    g.decay_power[to] = g.decay_power[from];
    g.layer.value_norm(g.group)[to] = g.layer.value_norm(g.group)[from];
  }
}

// Where the layer merges: the rows of the token that leaves, for the next merge.
template <class T>
__device__ void keep_left(const DecodedGroup<T>& g, std::int32_t slot) {
  const AttentionShape& shape = g.a.shape;
  const MergeView merge(g.layer, shape.n_heads, shape.n_merged);
  const std::int32_t left = MergeInterval(g.tile, shape).n_left, d = shape.head_dim;
  for (auto i = static_cast<std::int32_t>(threadIdx.x); i < shape.n_kv_heads * d; i += kThreads) {
    const std::int32_t kv = i / d, e = i % d;
    const std::int64_t at = static_cast<std::int64_t>(slot) * d + e;
    merge.template left_row<T>(merge.left_keys, kv, left, d)[e] =
        g.layer.template head<T>(kv, HeadArray::rotated)[at];
    merge.template left_row<T>(merge.left_values, kv, left, d)[e] =
        g.layer.template head<T>(kv, HeadArray::values)[at];
  }
  if (threadIdx.x == 0) merge.left_positions[left] = g.positions[slot];
}

// The decision and the eviction of one group. `shared` (kWarps), `shared_moves` (1).
template <class T>
__device__ void decide(const DecodedGroup<T>& g, Candidate* shared, std::int32_t* shared_moves) {
  std::int32_t n_visible = remember_weights(g);
  n_visible = g.a.shape.sliding_window > 0 ? block_count(n_visible, shared) : 0;
  if (threadIdx.x == 0) g.a.events[g.event] = {-1, 0.0f, n_visible};
  const Evicted evicted = evict_tokens(g, n_visible, shared);
  __syncthreads();
  if (g.a.shape.n_merged > 0 && evicted.last_slot >= 0) keep_left(g, evicted.last_slot);
  if (threadIdx.x == 0) *shared_moves = list_moves(g, evicted);
  __syncthreads();
  const std::int32_t n_moves = *shared_moves, d = g.a.shape.head_dim;
  if (d % kWide<T> == 0) {
    move_rows<uint4>(g, d / kWide<T>, n_moves);
  } else {
    move_rows<T>(g, d, n_moves);
  }
  move_slots(g, n_moves);
}

}  // namespace tovamill::cuda::decode_eviction
