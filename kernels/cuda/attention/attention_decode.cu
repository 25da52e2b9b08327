// Blocks of one token: generation. A thread block takes one KV head of a stream: scores of its
// queries, softmax, values; the last one of a group of KV heads to be through adds the weights up,
// lets the policy choose, and moves the last column into the place of the one that left.
//
// Bytes a layer and stream: each key and each value of the state once, 2 * n_columns * kv_size *
// (2 or 4), which bound it; the weights (4 * n_heads * n_columns, written and read twice) stay in
// the L2 cache.
#include "kernels/cuda/attention/attention_kernels.h"
#include "kernels/cuda/device/warp.h"

namespace tovamill::cuda {
namespace {

constexpr int kThreads = 256, kWarps = kThreads / kLanes;
// Blocks of an SM that are asked of the compiler: as many as it can keep all numbers in registers
// for.
template <int kQueries>
constexpr int kBlocksOfSm = kQueries == 1 ? 3 : 2;

// Rows that a lane reads of at a time: 16 bytes of each are in flight from memory at once, which
// with 24 warps of an SM are some 48 KiB.
constexpr int kBatch = 4;

// Queries of a KV head that go through its rows together; a head that serves more is read again.
constexpr int kMostQueries = 4;

// scores[q * ld + j] = queries[q] . rows[j] * scale of at most kQueries queries, kGroup lanes to a
// row.
template <class T, int kWidth, int kGroup, int kQueries>
__device__ void score_rows(const T* queries, std::int32_t n_queries, const T* rows, std::int32_t n,
                           std::int32_t d, float scale, float* scores, std::int32_t ld) {
  constexpr int kRows = kLanes / kGroup;
  const auto warp = static_cast<std::int32_t>(threadIdx.x) / kLanes,
             lane = static_cast<std::int32_t>(threadIdx.x) % kLanes;
  const std::int32_t part = lane % kGroup;
  for (std::int32_t first = warp * kRows; first < n; first += kWarps * kRows * kBatch) {
    const std::int32_t j = first + lane / kGroup;
    float sum[kBatch][kQueries] = {};
    for (std::int32_t i = part * kWidth; i < d; i += kGroup * kWidth) {
      Pack<T, kWidth> k[kBatch];
#pragma unroll
      for (int b = 0; b < kBatch; ++b) {  // of rows that are not there, the last one
        const std::int32_t row = min(j + b * kWarps * kRows, n - 1);
        k[b] = read_pack<T, kWidth>(rows + static_cast<std::int64_t>(row) * d + i);
      }
#pragma unroll
      for (int q = 0; q < kQueries; ++q) {
        const auto x = read_pack<T, kWidth>(queries + min(q, n_queries - 1) * d + i);
#pragma unroll
        for (int b = 0; b < kBatch; ++b)
#pragma unroll
          for (int e = 0; e < kWidth; ++e)
            sum[b][q] = fmaf(to_float(k[b].at[e]), to_float(x.at[e]), sum[b][q]);
      }
    }
#pragma unroll
    for (int b = 0; b < kBatch; ++b) {
      const std::int32_t row = j + b * kWarps * kRows;
#pragma unroll
      for (int q = 0; q < kQueries; ++q) {
#pragma unroll
        for (int i = kGroup / 2; i > 0; i /= 2)
          sum[b][q] += __shfl_xor_sync(kAllLanes, sum[b][q], i);
        if (part == 0 && row < n && q < n_queries)
          scores[static_cast<std::int64_t>(q) * ld + row] = sum[b][q] * scale;
      }
    }
  }
}

// sums[(q * kWarps + warp) * d + i] = sum over the warp's columns of weights[q * ld + j]
// values[j][i].
template <class T, int kWidth, int kGroup, int kQueries>
__device__ void add_rows(const float* weights, std::int32_t ld, std::int32_t n_queries,
                         const T* values, std::int32_t n, std::int32_t d, float* sums) {
  constexpr int kRows = kLanes / kGroup;
  const auto warp = static_cast<std::int32_t>(threadIdx.x) / kLanes,
             lane = static_cast<std::int32_t>(threadIdx.x) % kLanes;
  for (std::int32_t begin = 0; begin < d; begin += kGroup * kWidth) {
    const std::int32_t i = begin + lane % kGroup * kWidth;
    float sum[kQueries][kWidth] = {};
    for (std::int32_t j = warp * kRows + lane / kGroup; i < d && j < n;
         j += kWarps * kRows * kBatch) {
      Pack<T, kWidth> v[kBatch];
      float w[kBatch][kQueries];
#pragma unroll
      for (int b = 0; b < kBatch; ++b) {
        const std::int32_t row = min(j + b * kWarps * kRows, n - 1);
        v[b] = read_pack<T, kWidth>(values + static_cast<std::int64_t>(row) * d + i);
#pragma unroll
        for (int q = 0; q < kQueries; ++q)
          w[b][q] = weights[static_cast<std::int64_t>(min(q, n_queries - 1)) * ld + row];
      }
#pragma unroll
      for (int b = 0; b < kBatch; ++b) {
        if (j + b * kWarps * kRows >= n) break;
#pragma unroll
        for (int q = 0; q < kQueries; ++q)
#pragma unroll
          for (int e = 0; e < kWidth; ++e)
            sum[q][e] = fmaf(w[b][q], to_float(v[b].at[e]), sum[q][e]);
      }
    }
#pragma unroll
    for (int q = 0; q < kQueries; ++q) {
#pragma unroll
      for (int e = 0; e < kWidth; ++e) {
        for (int l = kGroup; l < kLanes; l *= 2)
          sum[q][e] += __shfl_xor_sync(kAllLanes, sum[q][e], l);
        if (lane < kGroup && i < d && q < n_queries)
          sums[(q * kWarps + warp) * d + i + e] = sum[q][e];
      }
    }
  }
}

// The first candidate of all threads, in all threads.
__device__ Candidate block_first(Candidate c, Candidate* shared) {
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

// Rows move_from[i] of all arrays of a group's KV heads to rows move_to[i]; `V` is what rows
// consist of `n_parts` of.
template <class T, class V>
__device__ void move_rows(const LayerView& layer, std::int32_t first_kv, std::int32_t n_kv,
                          std::int32_t n_parts, const std::int32_t* move_from,
                          const std::int32_t* move_to, std::int32_t n_moves) {
  const std::int32_t n_arrays = layer.layout.keeps_unrotated ? 3 : 2;
  copy_all<V>(n_moves * n_kv * n_arrays * n_parts, [&](std::int32_t i) {
    const std::int32_t part = i % n_parts, row = i / n_parts, array = row % n_arrays,
                       kv = first_kv + row / n_arrays % n_kv, move = row / n_arrays / n_kv;
    V* rows = reinterpret_cast<V*>(array == 0   ? layer.head<T>(kv, HeadArray::values)
                                   : array == 1 ? layer.head<T>(kv, HeadArray::rotated)
                                                : layer.head<T>(kv, HeadArray::unrotated));
    return Copy<V>{rows + static_cast<std::int64_t>(move_from[move]) * n_parts + part,
                   rows + static_cast<std::int64_t>(move_to[move]) * n_parts + part};
  });
}

// By the last block of a group.
template <class T>
__device__ void decide(const DecodeArguments<T>& a, std::int32_t slot, std::int32_t group,
                       Candidate* candidates) {
  const AttentionShape& shape = a.shape;
  const TileInfo& tile = a.tiles[slot];
  const auto thread = static_cast<std::int32_t>(threadIdx.x);
  const std::int32_t n = tile.n_columns(), first_head = group * shape.heads_per_group;
  const auto position = static_cast<std::int32_t>(tile.position);
  const LayerView layer(tile.state, a.layout, tile.capacity, a.layer);
  std::int32_t* positions = layer.positions(group);
  const std::int64_t list =
      (static_cast<std::int64_t>(slot) * shape.n_eviction_groups + group) * a.ld;
  float* mean = a.mean + list;
  std::int32_t* death = a.death + list;
  float* memory = a.layout.remembers ? layer.memory(group) : nullptr;
  float* decay_power = a.layout.averages ? layer.decay_power(group) : nullptr;
  const float* value_norm = a.layout.averages ? layer.value_norm(group) : nullptr;
  const float share = 1.0f / static_cast<float>(shape.heads_per_group);
  const std::int64_t event =
      static_cast<std::int64_t>(tile.event_row) * shape.n_eviction_groups + group;
  const std::int32_t n_drops =
      tile.drops != 0 && n > tile.rule.cache_size ? n - tile.rule.cache_size : 0;
  std::int32_t n_visible = 0;
  for (std::int32_t j = thread; j < n; j += kThreads) {
    float weight = 0.0f;
#pragma unroll 8
    for (std::int32_t h = first_head; h < first_head + shape.heads_per_group; ++h) {
      const std::int64_t row = static_cast<std::int64_t>(slot) * shape.n_heads + h;
      weight += a.weights[row * a.ld + j] * a.inverse_sum[row];
    }
    weight *= share;
    mean[j] = weight;
    death[j] = kAlive;
    n_visible += is_visible(shape.sliding_window, tile.position, positions[j]) ? 1 : 0;
    if (memory == nullptr || tile.drops == 0) continue;
    TokenMemory kept{memory[j], 1.0f, 0.0f};
    if (decay_power != nullptr) kept.decay_power = decay_power[j];
    remember(tile.rule, weight, kept);
    memory[j] = kept.sum;
    if (decay_power != nullptr) decay_power[j] = kept.decay_power;
  }
  if (shape.sliding_window > 0) {
    for (int i = kLanes / 2; i > 0; i /= 2) n_visible += __shfl_xor_sync(kAllLanes, n_visible, i);
    __syncthreads();
    if (thread % kLanes == 0) candidates[thread / kLanes].column = n_visible;
    __syncthreads();
    n_visible = 0;
    for (int w = 0; w < kWarps; ++w) n_visible += candidates[w].column;
  } else {
    n_visible = 0;
  }
  if (thread == 0) a.events[event] = {-1, 0.0f, n_visible};
  std::int32_t n_left = n, dropped = -1;
  for (std::int32_t drop = 0; drop < n_drops; ++drop) {
    __syncthreads();
    Candidate best = no_candidate();
    for (std::int32_t j = thread; j < n; j += kThreads) {
      if (death[j] != kAlive || !may_leave(tile.rule, positions[j], position)) continue;
      TokenMemory kept;
      if (memory != nullptr) kept.sum = memory[j];
      if (decay_power != nullptr) {
        kept.decay_power = decay_power[j];
        kept.value_norm = value_norm[j];
      }
      const Candidate c{
          score_of(tile.rule, {position, a.layer, group}, {mean[j], positions[j], kept}),
          positions[j], j};
      if (leaves_before(c, best)) best = c;
    }
    best = block_first(best, candidates);
    if (best.column < 0) break;
    --n_left;
    dropped = best.column;
    if (thread == 0) {
      death[best.column] = 0;
      const EventRecord record{positions[best.column], mean[best.column], n_visible};
      if (a.drops != nullptr) {
        a.drops[(static_cast<std::int64_t>(slot) * shape.n_eviction_groups + group) * a.max_drops +
                drop] = record;
      } else {
        a.events[event] = record;
      }
    }
  }
  __syncthreads();
  // Survivors from the end take the places of those that left.
  __shared__ std::int32_t n_moves;
  std::int32_t* move_to = a.move_to + list;
  if (thread == 0) {
    n_moves = 0;
    if (n_left == n - 1) {
      n_moves = dropped != n_left ? 1 : 0;
      move_to[0] = dropped;
      death[0] = n_left;
    } else if (n_left < n) {
      for (std::int32_t j = 0; j < n_left; ++j) {
        if (death[j] != kAlive) move_to[n_moves++] = j;
      }
      for (std::int32_t j = n_left, i = 0; j < n; ++j) {
        if (death[j] == kAlive) death[i++] = j;  // from here on: where the i-th comes from
      }
    }
  }
  __syncthreads();
  const std::int32_t first_kv = group * shape.kv_per_group, d = shape.head_dim;
  if (d % kWide<T> == 0) {
    move_rows<T, uint4>(layer, first_kv, shape.kv_per_group, d / kWide<T>, death, move_to, n_moves);
  } else {
    move_rows<T, T>(layer, first_kv, shape.kv_per_group, d, death, move_to, n_moves);
  }
  for (std::int32_t i = thread; i < n_moves; i += kThreads) {
    const std::int32_t from = death[i], to = move_to[i];
    positions[to] = positions[from];
    if (memory != nullptr) memory[to] = memory[from];
    if (decay_power == nullptr) continue;
    decay_power[to] = decay_power[from];
    layer.value_norm(group)[to] = layer.value_norm(group)[from];
  }
}

// Grid: KV heads, streams.
template <class T, int kWidth, int kGroup, int kQueries>
__global__ void __launch_bounds__(kThreads, kBlocksOfSm<kQueries>)
    decode_kernel(DecodeArguments<T> a) {
  TOVAMILL_DYNAMIC_SHARED(shared_bytes);
  float* sums = reinterpret_cast<float*>(shared_bytes);  // (kQueries, kWarps, head_dim)
  __shared__ float reduced[kWarps];
  __shared__ Candidate candidates[kWarps];
  __shared__ unsigned n_done;
  const AttentionShape& shape = a.shape;
  const auto kv = static_cast<std::int32_t>(blockIdx.x),
             slot = static_cast<std::int32_t>(blockIdx.y);
  const auto thread = static_cast<std::int32_t>(threadIdx.x);
  const TileInfo& tile = a.tiles[slot];
  const std::int32_t n = tile.n_columns(), d = shape.head_dim, group = kv / shape.kv_per_group;
  const LayerView layer(tile.state, a.layout, tile.capacity, a.layer);
  const std::int64_t row = tile.first_row, first_head = kv * shape.per_kv;
  const T* queries = a.queries + row * shape.q_size() + first_head * d;
  float* weights =
      a.weights + (static_cast<std::int64_t>(slot) * shape.n_heads + first_head) * a.ld;
  const std::int32_t* positions = layer.positions(group);
  for (std::int32_t q = 0; q < shape.per_kv; q += kQueries) {
    score_rows<T, kWidth, kGroup, kQueries>(
        queries + q * d, min(kQueries, shape.per_kv - q), layer.head<T>(kv, HeadArray::rotated), n,
        d, shape.scale, weights + static_cast<std::int64_t>(q) * a.ld, a.ld);
  }
  __syncthreads();
  for (std::int32_t q = 0; q < shape.per_kv; ++q) {
    float* w = weights + static_cast<std::int64_t>(q) * a.ld;
    float top = -INFINITY, sum = 0.0f;
    for (std::int32_t j = thread; j < n; j += kThreads) {
      const bool sees = shape.sliding_window <= 0 ||
                        is_visible(shape.sliding_window, tile.position, positions[j]);
      if (!sees) w[j] = -INFINITY;
      top = (w[j] > top || w[j] != w[j]) ? w[j] : top;
    }
    top = block_max(top, reduced);
    const float shift = softmax_shift(top);
    for (std::int32_t j = thread; j < n; j += kThreads) {
      w[j] = softmax_term(w[j], shift);
      sum += w[j];
    }
    sum = block_sum(sum, reduced);
    if (thread == 0)
      a.inverse_sum[static_cast<std::int64_t>(slot) * shape.n_heads + first_head + q] = 1.0f / sum;
  }
  for (std::int32_t first = 0; first < shape.per_kv; first += kQueries) {
    __syncthreads();
    const std::int32_t n_queries = min(kQueries, shape.per_kv - first);
    add_rows<T, kWidth, kGroup, kQueries>(weights + static_cast<std::int64_t>(first) * a.ld, a.ld,
                                          n_queries, layer.head<T>(kv, HeadArray::values), n, d,
                                          sums);
    __syncthreads();
    for (std::int32_t i = thread; i < n_queries * d; i += kThreads) {
      const std::int32_t q = i / d;
      float sum = 0.0f;
      for (int w = 0; w < kWarps; ++w) sum += sums[(q * kWarps + w) * d + i % d];
      sum *=
          a.inverse_sum[static_cast<std::int64_t>(slot) * shape.n_heads + first_head + first + q];
      a.out[row * shape.q_size() + (first_head + first) * d + i] = from_float<T>(sum);
    }
  }
  // What this block has written is seen by the one that sees its count.
  __threadfence();
  __syncthreads();
  if (thread == 0) n_done = atomicAdd(a.n_done + slot * shape.n_eviction_groups + group, 1u) + 1u;
  __syncthreads();
  if (n_done != static_cast<unsigned>(shape.kv_per_group)) return;
  __threadfence();
  if (thread == 0) a.n_done[slot * shape.n_eviction_groups + group] = 0;
  decide(a, slot, group, candidates);
}

template <class T, int kWidth, int kGroup, int kQueries>
void launch_decode(const DecodeArguments<T>& a, std::int32_t n_tiles, const Stream& stream) {
  launch(decode_kernel<T, kWidth, kGroup, kQueries>, "decode",
         {.blocks = dim3(static_cast<unsigned>(a.shape.n_kv_heads), static_cast<unsigned>(n_tiles)),
          .threads = dim3(kThreads),
          .shared_bytes =
              static_cast<std::size_t>(kQueries * kWarps * a.shape.head_dim) * sizeof(float)},
         stream, a);
}

template <class T, int kWidth, int kGroup>
void launch_decode(const DecodeArguments<T>& a, std::int32_t n_tiles, const Stream& stream) {
  if (a.shape.per_kv == 1) return launch_decode<T, kWidth, kGroup, 1>(a, n_tiles, stream);
  launch_decode<T, kWidth, kGroup, kMostQueries>(a, n_tiles, stream);
}

}  // namespace

// 16 bytes a lane where rows are so wide that 8 lanes or more read them, else one element a lane.
template <class T>
void decode(const DecodeArguments<T>& a, std::int32_t n_tiles, const Stream& stream) {
  const std::int32_t lanes = a.shape.head_dim % kWide<T> == 0 ? a.shape.head_dim / kWide<T> : 0;
  if (lanes >= 32) return launch_decode<T, kWide<T>, 32>(a, n_tiles, stream);
  if (lanes >= 16) return launch_decode<T, kWide<T>, 16>(a, n_tiles, stream);
  if (lanes >= 8) return launch_decode<T, kWide<T>, 8>(a, n_tiles, stream);
  launch_decode<T, 1, 32>(a, n_tiles, stream);
}

template void decode<float>(const DecodeArguments<float>&, std::int32_t, const Stream&);
template void decode<Bf16>(const DecodeArguments<Bf16>&, std::int32_t, const Stream&);

}  // namespace tovamill::cuda
