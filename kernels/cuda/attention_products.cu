// Scores of a tile's queries against its state, and the softmax's product with the values. A thread
// block takes 64 queries of one head, kProductTile columns at a time: bf16 on the tensor cores with
// float32 sums, float32 by fused multiply-adds. Each number is summed in the same order whatever
// else is in the step.
//
// A layer and tile of s queries and n columns, h heads of size d: 2 * 2 s n h d operations; scores
// are written once (4 s n h bytes), read by the scan, and read once more here (twice for policies
// without a scan); keys and values are read s / 64 times for each of their heads, from the L2
// cache.
#include <cuda_bf16.h>
#include <mma.h>

#include <type_traits>

#include "kernels/cuda/attention_kernels.h"
#include "kernels/cuda/warp.h"

namespace tovamill::cuda {
namespace {

namespace wmma = nvcuda::wmma;

constexpr int kRows = 64;            // queries of a block
constexpr int kCols = kProductTile;  // columns of a step of its loop
constexpr int kDepth = 64;           // of a part of the head
constexpr int kThreads = 128, kWarps = kThreads / kLanes;
constexpr int kMostHeadParts = 4;  // head_dim up to 256
// Blocks of an SM that the weighing asks of the compiler: 4, which are 16 of 64 warps, need 128
// registers; bf16 heads of 128 manage with that from compute capability 9.0 on, and have 3 blocks
// unasked (0).
#if defined(__CUDA_ARCH__) && __CUDA_ARCH__ < 900
template <class T, int kParts>
constexpr int kBlocksOfSm = kParts <= 2 ? 3 : 0;
#else
template <class T, int kParts>
constexpr int kBlocksOfSm = sizeof(T) == 2 && kParts == 2 ? 4 : 0;
#endif

__device__ inline const __nv_bfloat16* as_cuda(const Bf16* p) {
  return reinterpret_cast<const __nv_bfloat16*>(p);
}

// A (64, 64) tile of sums, spread over a block's threads.
template <class T>
class Sums;

template <>
class Sums<float> {
 public:
  static constexpr int kPad = 1;  // of a shared row, against bank conflicts
  __device__ void clear() {
    for (int r = 0; r < 8; ++r)
      for (int c = 0; c < 4; ++c) sums_[r][c] = 0.0f;
  }
  // += a (64, depth) times b: (64, depth) transposed, or (depth, 64).
  template <bool kTransposed>
  __device__ void add(const float* a, int lda, const float* b, int ldb, int depth) {
    for (int k = 0; k < depth; ++k) {
      float x[8], y[4];
#pragma unroll
      for (int r = 0; r < 8; ++r) x[r] = a[(row() + r) * lda + k];
#pragma unroll
      for (int c = 0; c < 4; ++c)
        y[c] = kTransposed ? b[(col() + c) * ldb + k] : b[k * ldb + col() + c];
#pragma unroll
      for (int r = 0; r < 8; ++r)
#pragma unroll
        for (int c = 0; c < 4; ++c) sums_[r][c] = fmaf(x[r], y[c], sums_[r][c]);
    }
  }
  __device__ void scale(float factor) {
    for (int r = 0; r < 8; ++r)
      for (int c = 0; c < 4; ++c) sums_[r][c] *= factor;
  }
  __device__ void store(float* to, std::int64_t ld) const {
    for (int r = 0; r < 8; ++r)
      for (int c = 0; c < 4; ++c) to[(row() + r) * ld + col() + c] = sums_[r][c];
  }

 private:
  __device__ static int row() { return static_cast<int>(threadIdx.x) / 16 * 8; }
  __device__ static int col() { return static_cast<int>(threadIdx.x) % 16 * 4; }
  float sums_[8][4];
};

template <>
class Sums<Bf16> {
 public:
  static constexpr int kPad = 8;
  __device__ void clear() {
    for (int r = 0; r < 2; ++r)
      for (int c = 0; c < 2; ++c) wmma::fill_fragment(sums_[r][c], 0.0f);
  }
  template <bool kTransposed>
  __device__ void add(const Bf16* a, int lda, const Bf16* b, int ldb, int depth) {
    using Order = std::conditional_t<kTransposed, wmma::col_major, wmma::row_major>;
    for (int k = 0; k < depth; k += 16) {
      wmma::fragment<wmma::matrix_a, 16, 16, 16, __nv_bfloat16, wmma::row_major> left[2];
      wmma::fragment<wmma::matrix_b, 16, 16, 16, __nv_bfloat16, Order> right[2];
      for (int i = 0; i < 2; ++i) {
        wmma::load_matrix_sync(left[i], as_cuda(a + (row() + 16 * i) * lda + k),
                               static_cast<unsigned>(lda));
        const Bf16* at =
            kTransposed ? b + (col() + 16 * i) * ldb + k : b + k * ldb + col() + 16 * i;
        wmma::load_matrix_sync(right[i], as_cuda(at), static_cast<unsigned>(ldb));
      }
      for (int r = 0; r < 2; ++r)
        for (int c = 0; c < 2; ++c) wmma::mma_sync(sums_[r][c], left[r], right[c], sums_[r][c]);
    }
  }
  __device__ void scale(float factor) {
    for (int r = 0; r < 2; ++r)
      for (int c = 0; c < 2; ++c)
        for (int i = 0; i < sums_[r][c].num_elements; ++i) sums_[r][c].x[i] *= factor;
  }
  __device__ void store(float* to, std::int64_t ld) const {
    for (int r = 0; r < 2; ++r)
      for (int c = 0; c < 2; ++c)
        wmma::store_matrix_sync(to + (row() + 16 * r) * ld + col() + 16 * c, sums_[r][c],
                                static_cast<unsigned>(ld), wmma::mem_row_major);
  }

 private:
  __device__ static int row() { return static_cast<int>(threadIdx.x) / 64 * 32; }
  __device__ static int col() { return static_cast<int>(threadIdx.x) / 32 % 2 * 32; }
  wmma::fragment<wmma::accumulator, 16, 16, 16, float> sums_[2][2];
};

// A (64, width) part of rows of `width` and more elements into shared memory: columns [first,
// first + width) of rows [0, n_rows), zero beyond them and beyond `n_cols`.
template <class T>
__device__ void load_part(const T* from, std::int64_t ld, int n_rows, int first, int n_cols,
                          int width, T* to, int to_ld) {
  for (int i = static_cast<int>(threadIdx.x); i < kRows * width; i += kThreads) {
    const int r = i / width, c = i % width;
    const bool exists = r < n_rows && first + c < n_cols;
    to[r * to_ld + c] = exists ? from[r * ld + first + c] : from_float<T>(0.0f);
  }
}

// Grid: columns, queries, (tile, head).
template <class T>
__global__ void __launch_bounds__(kThreads) score_kernel(ScoreArguments<T> a) {
  constexpr int kLd = kDepth + Sums<T>::kPad;
  __shared__ __align__(128) T left[kRows * kLd];
  __shared__ __align__(128) T right[kCols * kLd];
  const AttentionShape& shape = a.shape;
  const auto slot = static_cast<std::int32_t>(blockIdx.z) / shape.n_heads,
             head = static_cast<std::int32_t>(blockIdx.z) % shape.n_heads;
  const TileInfo& tile = a.tiles[slot];
  const auto first_step = static_cast<std::int32_t>(blockIdx.y) * kRows,
             first_column = static_cast<std::int32_t>(blockIdx.x) * kCols;
  const std::int32_t n_steps = min(kRows, tile.n_steps - first_step),
                     last_column = tile.n_state + first_step + n_steps - 1;
  if (n_steps <= 0 || first_column > last_column) return;
  const LayerView layer(tile.state, a.layout, tile.capacity, a.layer);
  const std::int32_t d = shape.head_dim;
  const T* queries = a.queries +
                     static_cast<std::int64_t>(tile.first_row + first_step) * shape.q_size() +
                     head * d;
  const T* keys =
      layer.rotated<T>(head / shape.per_kv) + static_cast<std::int64_t>(first_column) * d;
  Sums<T> sums;
  sums.clear();
  for (std::int32_t k = 0; k < d; k += kDepth) {
    __syncthreads();
    load_part(queries, shape.q_size(), n_steps, k, d, kDepth, left, kLd);
    load_part(keys, d, min(kCols, tile.n_columns() - first_column), k, d, kDepth, right, kLd);
    __syncthreads();
    sums.template add<true>(left, kLd, right, kLd, kDepth);
  }
  sums.scale(shape.scale);
  sums.store(
      a.scratch.scores + a.scratch.score_row(slot, head, first_step, shape.n_heads) + first_column,
      a.scratch.ld);
}

// Grid: queries, head, tile. kParts parts of kDepth of a head's values at a time.
template <class T, int kParts>
__global__ void __launch_bounds__(kThreads, kBlocksOfSm<T, kParts>)
    weigh_kernel(WeighArguments<T> a) {
  constexpr int kLd = kCols + Sums<T>::kPad;
  constexpr int kRowsOfWarp = kRows / kWarps;
  TOVAMILL_DYNAMIC_SHARED(shared_bytes);
  T* weights = reinterpret_cast<T*>(shared_bytes);  // (kRows, kLd)
  T* values = weights + kRows * kLd;                // (kCols, kLd)
  float* product =
      reinterpret_cast<float*>(shared_bytes);  // (kRows, kCols), once those are done with
  __shared__ float highest[kRows], total[kRows];
  __shared__ float lane_sums[kRows][kLanes];  // of a row, each lane its own
  const AttentionShape& shape = a.shape;
  const auto slot = static_cast<std::int32_t>(blockIdx.z),
             head = static_cast<std::int32_t>(blockIdx.y);
  const TileInfo& tile = a.tiles[slot];
  const auto first_step = static_cast<std::int32_t>(blockIdx.x) * kRows;
  const std::int32_t n_steps = min(kRows, tile.n_steps - first_step);
  if (n_steps <= 0) return;
  const auto warp = static_cast<std::int32_t>(threadIdx.x) / kLanes,
             lane = static_cast<std::int32_t>(threadIdx.x) % kLanes;
  const std::int32_t d = shape.head_dim, group = head / shape.heads_per_group;
  const LayerView layer(tile.state, a.layout, tile.capacity, a.layer);
  const T* stored = layer.values<T>(head / shape.per_kv);
  const std::int32_t* positions = layer.positions(group);
  const std::int32_t* death = a.scratch.deaths(slot, group, shape.n_groups);
  const std::int64_t rows =
      (static_cast<std::int64_t>(slot) * shape.n_heads + head) * kGroupTokens + first_step;
  const float* scores = a.scratch.scores + rows * a.scratch.ld;
  const std::int32_t n_columns = tile.n_state + first_step + n_steps;
  // The score of a column that the query attends to, else -inf.
  const auto living = [&](std::int32_t r, std::int32_t j) {
    const std::int32_t step = first_step + r;
    const bool lives = r < n_steps && j <= tile.n_state + step && death[j] >= step &&
                       is_visible(shape.sliding_window, tile.position + step,
                                  shape.sliding_window > 0 ? positions[j] : 0);
    return lives ? scores[static_cast<std::int64_t>(r) * a.scratch.ld + j] : -INFINITY;
  };
  for (std::int32_t i = 0; i < kRowsOfWarp; ++i) {
    const std::int32_t r = warp * kRowsOfWarp + i;
    float top = -INFINITY;
    if (a.has_sums) {
      if (r < n_steps) top = a.scratch.row_max[rows + r];
    } else {
      for (std::int32_t j = lane; j < n_columns; j += kLanes) {
        const float x = living(r, j);
        top = (x > top || x != x) ? x : top;
      }
      top = warp_max(top);
    }
    if (lane == 0) highest[r] = top;
  }
  __syncthreads();
  Sums<T> sums[kParts];
#pragma unroll
  for (int p = 0; p < kParts; ++p) sums[p].clear();
  for (int i = 0; i < kRowsOfWarp; ++i) lane_sums[warp * kRowsOfWarp + i][lane] = 0.0f;
  for (std::int32_t first = 0; first < n_columns; first += kCols) {
    __syncthreads();
#pragma unroll 4
    for (int i = 0; i < kRowsOfWarp; ++i) {
      const std::int32_t r = warp * kRowsOfWarp + i;
      const float top = highest[r];
      float sum = 0.0f;
      for (int c = lane; c < kCols; c += kLanes) {
        const float x = first + c < n_columns ? living(r, first + c) : -INFINITY;
        const float term = top == -INFINITY ? 0.0f : softmax_term(x, top);
        sum += term;
        weights[r * kLd + c] = from_float<T>(term);
      }
      lane_sums[r][lane] += sum;
    }
#pragma unroll
    for (int p = 0; p < kParts; ++p) {
      if (p > 0) __syncthreads();
      load_part(stored + static_cast<std::int64_t>(first) * d, d, min(kCols, n_columns - first),
                p * kDepth, d, kDepth, values, kLd);
      __syncthreads();
      sums[p].template add<false>(weights, kLd, values, kLd, kCols);
    }
  }
  for (int i = 0; i < kRowsOfWarp; ++i) {
    const float sum = warp_sum(lane_sums[warp * kRowsOfWarp + i][lane]);
    if (lane == 0) total[warp * kRowsOfWarp + i] = sum;
  }
#pragma unroll
  for (int p = 0; p < kParts; ++p) {
    __syncthreads();
    sums[p].store(product, kCols);
    __syncthreads();
    for (int i = static_cast<int>(threadIdx.x); i < n_steps * kDepth; i += kThreads) {
      const int r = i / kDepth, c = p * kDepth + i % kDepth;
      if (c >= d) continue;
      const float x = total[r] == 0.0f ? 0.0f : product[r * kCols + i % kDepth] / total[r];
      a.out[static_cast<std::int64_t>(tile.first_row + first_step + r) * shape.q_size() + head * d +
            c] = from_float<T>(x);
    }
  }
  if (!a.keeps_weights || static_cast<std::int32_t>(threadIdx.x) >= n_steps) return;
  // Of `window`: what the token that leaves after each query weighed.
  const auto r = static_cast<std::int32_t>(threadIdx.x);
  const std::int32_t column =
      a.scratch.evicted[(static_cast<std::int64_t>(slot) * shape.n_groups + group) * kGroupTokens +
                        first_step + r];
  const float x = column >= 0 ? living(r, column) : -INFINITY;
  a.scratch.head_weight[rows + r] =
      highest[r] == -INFINITY || x == -INFINITY ? 0.0f : softmax_term(x, highest[r]) / total[r];
}

template <class T, int kParts>
void launch_weigh(const WeighArguments<T>& a, std::int32_t n_tiles, std::int32_t max_steps,
                  const Stream& stream) {
  constexpr std::size_t kOperands = (kRows + kCols) * (kCols + Sums<T>::kPad) * sizeof(T);
  constexpr std::size_t kProduct = kRows * kCols * sizeof(float);
  launch(weigh_kernel<T, kParts>, "weigh",
         {.blocks = dim3(static_cast<unsigned>((max_steps + kRows - 1) / kRows),
                         static_cast<unsigned>(a.shape.n_heads), static_cast<unsigned>(n_tiles)),
          .threads = dim3(kThreads),
          .shared_bytes = kOperands > kProduct ? kOperands : kProduct},
         stream, a);
}

}  // namespace

template <class T>
void score_tiles(const ScoreArguments<T>& a, std::int32_t n_tiles, std::int32_t max_columns,
                 std::int32_t max_steps, const Stream& stream) {
  launch(score_kernel<T>, "scores",
         {.blocks = dim3(static_cast<unsigned>((max_columns + kCols - 1) / kCols),
                         static_cast<unsigned>((max_steps + kRows - 1) / kRows),
                         static_cast<unsigned>(n_tiles * a.shape.n_heads)),
          .threads = dim3(kThreads)},
         stream, a);
}

template <class T>
void weigh_tiles(const WeighArguments<T>& a, std::int32_t n_tiles, std::int32_t max_steps,
                 const Stream& stream) {
  const std::int32_t parts = (a.shape.head_dim + kDepth - 1) / kDepth;
  if (parts == 1) return launch_weigh<T, 1>(a, n_tiles, max_steps, stream);
  if (parts == 2) return launch_weigh<T, 2>(a, n_tiles, max_steps, stream);
  launch_weigh<T, kMostHeadParts>(a, n_tiles, max_steps, stream);
}

template void score_tiles<float>(const ScoreArguments<float>&, std::int32_t, std::int32_t,
                                 std::int32_t, const Stream&);
template void score_tiles<Bf16>(const ScoreArguments<Bf16>&, std::int32_t, std::int32_t,
                                std::int32_t, const Stream&);
template void weigh_tiles<float>(const WeighArguments<float>&, std::int32_t, std::int32_t,
                                 const Stream&);
template void weigh_tiles<Bf16>(const WeighArguments<Bf16>&, std::int32_t, std::int32_t,
                                const Stream&);

}  // namespace tovamill::cuda
