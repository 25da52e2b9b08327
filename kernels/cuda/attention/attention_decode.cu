// Blocks of one token: decoding. Scores of the query, softmax, weighted sum of the values, the
// policy's decision and the eviction, in one kernel.
//
// Mapping: a thread block takes one KV head of a stream with all query heads that it serves; the
// last block of an eviction group to be through adds the weights up, lets the policy decide, and
// moves the last slot's token into the evicted one's (decode_eviction.h).
//
// Bytes of a layer and stream: each key and each value of the state once,
// 2 * n_slots * kv_size * (2 or 4), which bound it; the weights (4 * n_heads * n_slots, written and
// read twice) stay in the L2 cache.
#include "kernels/cuda/attention/attention_kernels.h"
#include "kernels/cuda/attention/decode_eviction.h"
#include "kernels/cuda/attention/decode_rows.h"
#include "kernels/cuda/attention/merge_interval.h"
#include "kernels/cuda/device/warp.h"

namespace tovamill::cuda {
namespace {

using decode_rows::kThreads;
using decode_rows::kWarps;

// Queries of a KV head that go through its rows together; a head that serves more is read again.
constexpr int kMaxQueries = 4;
// Blocks of an SM that are asked of the compiler: as many as it can keep all numbers in registers
// for.
template <int kQueries>
constexpr int kBlocksOfSm = kQueries == 1 ? 3 : 2;

// A KV head of a stream: what its block reads and writes.
template <class T>
struct DecodedHead {
  const DecodeArguments<T>& a;
  const TileInfo& tile;
  std::int32_t n;                 // slots
  std::int32_t first_head;        // of its queries
  const T *keys, *values;         // (n, head_dim)
  const std::int32_t* positions;  // (n)
  const T* queries;               // (heads_per_kv, head_dim)
  T* out;                         // the same
  float* weights;                 // (heads_per_kv, ld)
  float* inverse_sum;             // (heads_per_kv)
  const float* biases = nullptr;  // (n_merged) where the layer merges
  float* query_sums = nullptr;    // of the state

  __device__ DecodedHead(const DecodeArguments<T>& arguments, std::int32_t tile_index,
                         std::int32_t kv)
      : a(arguments),
        tile(a.tiles[tile_index]),
        n(tile.n_slots()),
        first_head(kv * a.shape.heads_per_kv) {
    const AttentionShape& shape = a.shape;
    const LayerView layer(tile.state, a.layout, tile.capacity, a.layer);
    const std::int64_t element = static_cast<std::int64_t>(tile.first_row) * shape.q_size() +
                                 first_head * shape.head_dim,
                       head = static_cast<std::int64_t>(tile_index) * shape.n_heads + first_head;
    keys = layer.template head<T>(kv, HeadArray::rotated);
    values = layer.template head<T>(kv, HeadArray::values);
    positions = layer.positions(kv / shape.kv_heads_per_group);
    queries = a.queries + element;
    out = a.out + element;
    weights = a.weights + head * a.ld;
    inverse_sum = a.inverse_sum + head;
    if (shape.n_merged == 0) return;
    const MergeView merge(layer, shape.n_heads, shape.n_merged);
    biases = merge.biases + kv * shape.n_merged;
    query_sums = merge.query_sums;
  }
};

// weights[q][j] = exp(scores[q][j] - row_max), 0 where the sliding window hides the slot, in place
// of the scores; inverse_sum[q] = 1 / their sum.
template <class T>
__device__ void softmax_rows(const DecodedHead<T>& h, float* reduced) {
  const AttentionShape& shape = h.a.shape;
  const auto thread = static_cast<std::int32_t>(threadIdx.x);
  for (std::int32_t q = 0; q < shape.heads_per_kv; ++q) {
    float* w = h.weights + static_cast<std::int64_t>(q) * h.a.ld;
    float top = -INFINITY, sum = 0.0f;
    for (std::int32_t j = thread; j < h.n; j += kThreads) {
      if (j < shape.n_merged) w[j] += h.biases[j];
      const bool sees = shape.sliding_window <= 0 ||
                        is_visible(shape.sliding_window, h.tile.position, h.positions[j]);
      if (!sees) w[j] = -INFINITY;
      top = (w[j] > top || w[j] != w[j]) ? w[j] : top;
    }
    top = block_max(top, reduced);
    const float sink = shape.sink(h.first_head + q);
    top = sink > top ? sink : top;
    const float shift = softmax_shift(top);
    for (std::int32_t j = thread; j < h.n; j += kThreads) {
      w[j] = softmax_term(w[j], shift);
      sum += w[j];
    }
    sum = block_sum(sum, reduced);
    if (thread == 0) h.inverse_sum[q] = 1.0f / (sum + softmax_term(sink, shift));
  }
}

// out (n_queries, head_dim) of queries from `first` on = the warps' sums (n_queries, kWarps,
// head_dim), added in order, times inverse_sum.
template <class T>
__device__ void store_sums(const DecodedHead<T>& h, std::int32_t first, std::int32_t n_queries,
                           const float* sums) {
  const std::int32_t d = h.a.shape.head_dim;
  for (auto i = static_cast<std::int32_t>(threadIdx.x); i < n_queries * d; i += kThreads) {
    const std::int32_t q = i / d;
    float sum = 0.0f;
    for (int w = 0; w < kWarps; ++w) sum += sums[(q * kWarps + w) * d + i % d];
    sum *= h.inverse_sum[first + q];
    h.out[static_cast<std::int64_t>(first) * d + i] = from_float<T>(sum);
  }
}

// Whether the block is the last of its eviction group to come here; it then sees what the others
// have written. `n_done` counts them, `shared` (1).
__device__ bool is_last_of_group(unsigned* n_done, std::int32_t n_blocks, unsigned* shared) {
  __threadfence();
  __syncthreads();
  if (threadIdx.x == 0) *shared = atomicAdd(n_done, 1u) + 1u;
  __syncthreads();
  if (*shared != static_cast<unsigned>(n_blocks)) return false;
  __threadfence();
  if (threadIdx.x == 0) *n_done = 0;
  return true;
}

// Grid: KV heads, streams.
template <class T, int kWidth, int kRowLanes, int kQueries>
__global__ void __launch_bounds__(kThreads, kBlocksOfSm<kQueries>)
    decode_kernel(DecodeArguments<T> a) {
  TOVAMILL_DYNAMIC_SHARED(shared_bytes);
  float* sums = reinterpret_cast<float*>(shared_bytes);  // (kQueries, kWarps, head_dim)
  __shared__ float reduced[kWarps];
  __shared__ Candidate candidates[kWarps];
  __shared__ unsigned n_done;
  __shared__ std::int32_t n_moves;
  const auto kv = static_cast<std::int32_t>(blockIdx.x),
             tile_index = static_cast<std::int32_t>(blockIdx.y);
  const std::int32_t d = a.shape.head_dim, heads_per_kv = a.shape.heads_per_kv,
                     group = kv / a.shape.kv_heads_per_group;
  const DecodedHead<T> h(a, tile_index, kv);
  if (a.shape.n_merged > 0) add_queries(h.tile, a.shape, a.queries, kv, h.query_sums);
  for (std::int32_t q = 0; q < heads_per_kv; q += kQueries) {
    decode_rows::score_rows<T, kWidth, kRowLanes, kQueries>(
        h.queries + q * d, min(kQueries, heads_per_kv - q), h.keys, h.n, a.shape,
        h.weights + static_cast<std::int64_t>(q) * a.ld, a.ld);
  }
  __syncthreads();
  softmax_rows(h, reduced);
  for (std::int32_t q = 0; q < heads_per_kv; q += kQueries) {
    __syncthreads();
    const std::int32_t n_queries = min(kQueries, heads_per_kv - q);
    decode_rows::sum_rows<T, kWidth, kRowLanes, kQueries>(
        h.weights + static_cast<std::int64_t>(q) * a.ld, a.ld, n_queries, h.values, h.n, d, sums);
    __syncthreads();
    store_sums(h, q, n_queries, sums);
  }
  if (!is_last_of_group(a.n_done + tile_index * a.shape.n_eviction_groups + group,
                        a.shape.kv_heads_per_group, &n_done))
    return;
  decode_eviction::decide(decode_eviction::DecodedGroup<T>(a, tile_index, group), candidates,
                          &n_moves);
}

template <class T, int kWidth, int kRowLanes, int kQueries>
void launch_decode(const DecodeArguments<T>& a, std::int32_t n_tiles, const Stream& stream) {
  launch(decode_kernel<T, kWidth, kRowLanes, kQueries>, "decode",
         {.blocks = dim3(static_cast<unsigned>(a.shape.n_kv_heads), static_cast<unsigned>(n_tiles)),
          .threads = dim3(kThreads),
          .shared_bytes =
              static_cast<std::size_t>(kQueries * kWarps * a.shape.head_dim) * sizeof(float)},
         stream, a);
}

template <class T, int kWidth, int kRowLanes>
void launch_decode(const DecodeArguments<T>& a, std::int32_t n_tiles, const Stream& stream) {
  if (a.shape.heads_per_kv == 1) return launch_decode<T, kWidth, kRowLanes, 1>(a, n_tiles, stream);
  launch_decode<T, kWidth, kRowLanes, kMaxQueries>(a, n_tiles, stream);
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
