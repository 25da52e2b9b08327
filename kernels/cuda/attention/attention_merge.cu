// Merged tokens (kernels/README.md, "Merged tokens"): what leaves a layer that merges is kept until
// its merge interval ends, and then taken into the places of merged tokens, the first slots of the
// state.
//
// begin_merging, keep_left: a thread block takes a KV head of a tile; add_biases a head of a tile;
// merge_left: kMergeBlocks thread blocks take the KV heads of all tiles in turn, a warp a key, or a
// thread an element of a place. All sums run in a fixed order.
//
// Operations of a merge of P points and n live keys, h query heads of size d, M places: about
// 4 (P + n) h d for the shares of the softmax and 9 P M d for three rounds of nearest places, once
// in kMergeInterval tokens. Bytes: the live keys once for each query head, from the L2 cache.
#include "kernels/cuda/attention/attention_kernels.h"
#include "kernels/cuda/attention/head_merge.h"
#include "kernels/cuda/attention/merge_interval.h"

namespace tovamill::cuda {
namespace {

using namespace head_merge;

template <class T>
__device__ void clear_places(const MergedHead<T>& m) {
  const auto thread = static_cast<std::int32_t>(threadIdx.x);
  for (std::int32_t i = thread; i < m.n_merged * m.d; i += kThreads) {
    m.row(HeadArray::rotated, 0)[i] = from_float<T>(0.0f);
    m.row(HeadArray::values, 0)[i] = from_float<T>(0.0f);
  }
  for (std::int32_t c = thread; c < m.n_merged; c += kThreads) {
    m.biases()[c] = -INFINITY;
    m.positions()[c] = 0.0;
    if (m.kv != 0) continue;
    m.layer.positions(0)[c] = kMergedPosition;
    if (m.a.layout.remembers) m.layer.memory(0)[c] = 0.0f;
    if (!m.a.layout.averages) continue;
    m.layer.decay_power(0)[c] = 1.0f;
    m.layer.value_norm(0)[c] = 0.0f;
  }
}

// From what the keys are relative to on to what they are to be.
template <class T>
__device__ void rotate_places(const MergedHead<T>& m) {
  const std::int32_t half = m.d / 2;
  for (auto i = static_cast<std::int32_t>(threadIdx.x); i < m.n_merged * half; i += kThreads) {
    const std::int32_t c = i / half, pair = i % half;
    const double position = m.positions()[c],
                 turn = fmax(0.0, position - static_cast<double>(m.tile.rotation)) -
                        fmax(0.0, position - static_cast<double>(m.tile.rotation_before));
    if (turn == 0.0) continue;
    double s = 0.0, co = 0.0;
    sincos(turn * m.a.inv_freq[pair], &s, &co);
    T* key = m.row(HeadArray::rotated, c) + pair;
    const float x = to_float(key[0]), y = to_float(key[half]), cosine = static_cast<float>(co),
                sine = static_cast<float>(s);
    key[0] = from_float<T>(x * cosine - y * sine);
    key[half] = from_float<T>(y * cosine + x * sine);
  }
}

// Grid: tiles, KV heads.
template <class T>
__global__ void begin_merging_kernel(MergeArguments<T> a) {
  const MergedHead<T> m(a, static_cast<std::int32_t>(blockIdx.x),
                        static_cast<std::int32_t>(blockIdx.y));
  if (m.tile.position == 0) return clear_places(m);
  if (m.tile.rotates != 0 && a.inv_freq != nullptr) rotate_places(m);
}

// Grid: tiles, heads.
template <class T>
__global__ void add_biases_kernel(MergeArguments<T> a) {
  const auto tile_index = static_cast<std::int32_t>(blockIdx.x),
             head = static_cast<std::int32_t>(blockIdx.y);
  const MergedHead<T> m(a, tile_index, head / a.shape.heads_per_kv);
  float* scores =
      a.scratch.scores + a.scratch.row(tile_index, head, 0, a.shape.n_heads) * a.scratch.ld;
  for (auto i = static_cast<std::int32_t>(threadIdx.x); i < m.tile.n_queries * m.n_merged;
       i += kThreads) {
    const std::int32_t query = i / m.n_merged, c = i % m.n_merged;
    scores[static_cast<std::int64_t>(query) * a.scratch.ld + c] += m.biases()[c];
  }
}

// Grid: tiles, KV heads.
template <class T>
__global__ void keep_left_kernel(MergeArguments<T> a) {
  const MergedHead<T> m(a, static_cast<std::int32_t>(blockIdx.x),
                        static_cast<std::int32_t>(blockIdx.y));
  const MergeInterval interval(m.tile, a.shape);
  add_queries(m.tile, a.shape, a.queries, m.kv, m.merge.query_sums);
  const std::int32_t* evicted =
      a.scratch.evicted + a.scratch.list(m.tile_index, 0, a.shape.n_eviction_groups);
  const TileRows<T> keys(m.layer, m.tile, m.tile_index, m.kv, HeadArray::rotated,
                         a.scratch.appended),
      values(m.layer, m.tile, m.tile_index, m.kv, HeadArray::values, a.scratch.appended);
  for (std::int32_t query = interval.first_query; query < m.tile.n_queries; ++query) {
    const std::int32_t slot = evicted[query], i = interval.n_left + query - interval.first_query;
    if (slot < 0) continue;
    for (auto e = static_cast<std::int32_t>(threadIdx.x); e < m.d; e += kThreads) {
      m.left_key(i)[e] = keys.at(slot)[e];
      m.left_value(i)[e] = values.at(slot)[e];
    }
    if (m.kv == 0 && threadIdx.x == 0) m.merge.left_positions[i] = m.layer.positions(0)[slot];
  }
}

// Grid: at most kMergeBlocks.
template <class T>
__global__ void merge_kernel(MergeArguments<T> a, std::int32_t n_items, std::int64_t n_floats) {
  __shared__ float reduced[kWarps];
  const MergeMemory memory(a.memory + static_cast<std::int64_t>(blockIdx.x) * n_floats, a.shape,
                           a.most_slots);
  for (auto item = static_cast<std::int32_t>(blockIdx.x); item < n_items;
       item += static_cast<std::int32_t>(gridDim.x)) {
    const MergedHead<T> m(a, item / a.shape.n_kv_heads, item % a.shape.n_kv_heads);
    const MergeInterval interval(m.tile, a.shape);
    if (!interval.ends || interval.n_left_after == 0) continue;
    HeadMerge<T>(m, memory, interval.n_left_after, reduced).run();
  }
}

dim3 tiles_by(std::int32_t n_tiles, std::int32_t n) {
  return dim3(static_cast<unsigned>(n_tiles), static_cast<unsigned>(n));
}

}  // namespace

std::size_t merge_floats(const AttentionShape& s, std::int32_t n_merged, std::int32_t most_slots) {
  const std::int32_t points = n_merged + kMergeInterval;
  const std::int64_t n = 2ll * n_merged * s.head_dim + 2ll * s.heads_per_kv * s.head_dim + points +
                         most_slots + s.heads_per_kv + 6ll * points + 2ll * n_merged;
  return static_cast<std::size_t>((n + 31) / 32 * 32);
}

template <class T>
void begin_merging(const MergeArguments<T>& a, std::int32_t n_tiles, const Stream& stream) {
  launch(begin_merging_kernel<T>, "begin_merging",
         {.blocks = tiles_by(n_tiles, a.shape.n_kv_heads), .threads = dim3(kThreads)}, stream, a);
}

template <class T>
void add_biases(const MergeArguments<T>& a, std::int32_t n_tiles, const Stream& stream) {
  launch(add_biases_kernel<T>, "add_biases",
         {.blocks = tiles_by(n_tiles, a.shape.n_heads), .threads = dim3(kThreads)}, stream, a);
}

template <class T>
void keep_left(const MergeArguments<T>& a, std::int32_t n_tiles, const Stream& stream) {
  launch(keep_left_kernel<T>, "keep_left",
         {.blocks = tiles_by(n_tiles, a.shape.n_kv_heads), .threads = dim3(kThreads)}, stream, a);
}

template <class T>
void merge_left(const MergeArguments<T>& a, std::int32_t n_tiles, const Stream& stream) {
  const std::int32_t n_items = n_tiles * a.shape.n_kv_heads;
  launch(merge_kernel<T>, "merge",
         {.blocks = dim3(static_cast<unsigned>(n_items < kMergeBlocks ? n_items : kMergeBlocks)),
          .threads = dim3(kThreads)},
         stream, a, n_items,
         static_cast<std::int64_t>(merge_floats(a.shape, a.most_merged, a.most_slots)));
}

#define TOVAMILL_MERGE_OF(T)                                                             \
  template void begin_merging<T>(const MergeArguments<T>&, std::int32_t, const Stream&); \
  template void add_biases<T>(const MergeArguments<T>&, std::int32_t, const Stream&);    \
  template void keep_left<T>(const MergeArguments<T>&, std::int32_t, const Stream&);     \
  template void merge_left<T>(const MergeArguments<T>&, std::int32_t, const Stream&);
TOVAMILL_MERGE_OF(float)
TOVAMILL_MERGE_OF(Bf16)
#undef TOVAMILL_MERGE_OF

}  // namespace tovamill::cuda
