// Scores of a tile's queries against its state, and the softmax's product with the values. A thread
// block takes 64 queries of one head, kProductTile columns at a time, and has the next ones on
// their way from memory meanwhile: bf16 on the tensor cores with float32 sums, float32 by fused
// multiply-adds. Each number is summed in the same order whatever else is in the step.
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
constexpr int kMostHeadParts = 2;  // of one block's sums
constexpr int kColumnTiles = 4;    // of a block of the scores
// Blocks of an SM that the weighing asks of the compiler: as many as it can keep all numbers in
// registers for, 4 of compute capability 9.0 for bf16 heads of 128, which are 16 of 64 warps. 0: as
// many as come.
#if defined(__CUDA_ARCH__) && __CUDA_ARCH__ < 900
template <int kWidth, int kParts>
constexpr int kBlocksOfSm = kWidth == 8 && kParts == 1 ? 3 : 0;
#elif defined(__CUDA_ARCH__) && __CUDA_ARCH__ >= 1000
template <int kWidth, int kParts>
constexpr int kBlocksOfSm = kWidth == 8 ? 3 : 0;
#else
template <int kWidth, int kParts>
constexpr int kBlocksOfSm = kWidth == 8 ? 4 : 0;
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

// 16 bytes that go from memory to shared memory by themselves, zeros where they do not exist; they
// are there once wait_for_copies is through and the block has met.
__device__ inline void copy_16_bytes(void* to, const void* from, bool exists) {
#if defined(__CUDA_ARCH__)
  asm volatile("cp.async.cg.shared.global [%0], [%1], 16, %2;" ::"r"(
                   static_cast<unsigned>(__cvta_generic_to_shared(to))),
               "l"(from), "r"(exists ? 16 : 0)
               : "memory");
#else
  const Pack<float, 4> none{};
  write_pack(static_cast<float*>(to),
             exists ? read_pack<float, 4>(static_cast<const float*>(from)) : none);
#endif
}
__device__ inline void wait_for_copies() {
#if defined(__CUDA_ARCH__)
  asm volatile("cp.async.wait_all;" ::: "memory");
#endif
}

// A (64, kDepth) part of wider rows on its way into shared memory: columns [first, first + kDepth)
// of rows [0, n_rows), zero beyond them and beyond `n_cols`. A thread has some packs of kWidth
// elements, which rows consist of. `row_at` says where a row stands.
template <class T, int kWidth>
class Part {
 public:
  template <class RowAt>
  __device__ void read(const RowAt& row_at, int n_rows, int first, int n_cols) {
    const bool exists = first + column() < n_cols;
#pragma unroll
    for (int p = 0; p < kPacks; ++p) {
      packs_[p] = {};
      if (exists && row(p) < n_rows)
        packs_[p] = read_pack<T, kWidth>(row_at(row(p)) + first + column());
    }
  }
  // The same at once, where packs are of 16 bytes in shared memory, too.
  static constexpr bool kCopies = kWidth == kWide<T> && Sums<T>::kPad % kWidth == 0;
  template <class RowAt>
  __device__ static void copy(const RowAt& row_at, int n_rows, int first, int n_cols, T* to,
                              int to_ld) {
    const bool exists = first + column() < n_cols;
    to += row(0) * to_ld + column();
#pragma unroll 1  // else all addresses are kept in registers
    for (int p = 0; p < kPacks; ++p, to += (row(1) - row(0)) * to_ld) {
      const bool is_there = exists && row(p) < n_rows;
      copy_16_bytes(to, is_there ? row_at(row(p)) + first + column() : row_at(0), is_there);
    }
  }
  __device__ void write(T* to, int ld) const {
    to += row(0) * ld + column();
#pragma unroll
    for (int p = 0; p < kPacks; ++p, to += (row(1) - row(0)) * ld) {
      if constexpr (Sums<T>::kPad % kWidth == 0) {
        write_pack(to, packs_[p]);
      } else {
#pragma unroll
        for (int e = 0; e < kWidth; ++e) to[e] = packs_[p].at[e];
      }
    }
  }

 private:
  static constexpr int kRowPacks = kDepth / kWidth, kPacks = kRows * kRowPacks / kThreads;
  __device__ static int row(int p) {
    return static_cast<int>(threadIdx.x) / kRowPacks + p * (kThreads / kRowPacks);
  }
  __device__ static int column() { return static_cast<int>(threadIdx.x) % kRowPacks * kWidth; }
  Pack<T, kWidth> packs_[kPacks];
};

__host__ __device__ constexpr int parts_of(int head_dim) {
  return (head_dim + kDepth - 1) / kDepth;
}

// Grid: kColumnTiles times 64 columns, queries, (tile, head).
template <class T, int kWidth>
__global__ void __launch_bounds__(kThreads, kWidth == 8 ? 4 : 3) score_kernel(ScoreArguments<T> a) {
  constexpr int kLd = kDepth + Sums<T>::kPad;
  TOVAMILL_DYNAMIC_SHARED(shared_bytes);
  const AttentionShape& shape = a.shape;
  const std::int32_t d = shape.head_dim, n_parts = parts_of(d),
                     left_ld = n_parts * kDepth + Sums<T>::kPad;
  T* left = reinterpret_cast<T*>(shared_bytes);  // (kRows, left_ld), the whole queries
  T* right = left + kRows * left_ld;             // (kCols, kLd), a part of keys
  const auto slot = static_cast<std::int32_t>(blockIdx.z) / shape.n_heads,
             head = static_cast<std::int32_t>(blockIdx.z) % shape.n_heads;
  const TileInfo& tile = a.tiles[slot];
  const auto first_step = static_cast<std::int32_t>(blockIdx.y) * kRows,
             first_column = static_cast<std::int32_t>(blockIdx.x) * kColumnTiles * kCols;
  const std::int32_t n_steps = min(kRows, tile.n_steps - first_step),
                     end = min(first_column + kColumnTiles * kCols,
                               tile.n_state + first_step + n_steps);
  if (n_steps <= 0 || first_column >= end) return;
  const LayerView layer(tile.state, a.layout, tile.capacity, a.layer);
  const T* queries = a.queries +
                     static_cast<std::int64_t>(tile.first_row + first_step) * shape.q_size() +
                     head * d;
  const TileRows<T> keys(layer, tile, slot, head / shape.per_kv, HeadArray::rotated,
                         a.scratch.joining);
  const std::int32_t n_columns = tile.n_columns();
  float* scores = a.scratch.scores + a.scratch.score_row(slot, head, first_step, shape.n_heads);
  Part<T, kWidth> part;
  for (std::int32_t k = 0; k < n_parts; ++k) {
    part.read([&](int r) { return queries + static_cast<std::int64_t>(r) * shape.q_size(); },
              n_steps, k * kDepth, d);
    part.write(left + k * kDepth, left_ld);
  }
  const auto read_keys = [&](std::int32_t column, std::int32_t k) {
    part.read([&](int r) { return keys.at(column + r); }, min(kCols, n_columns - column),
              k * kDepth, d);
  };
  read_keys(first_column, 0);
  Sums<T> sums;
  for (std::int32_t column = first_column; column < end; column += kCols) {
    sums.clear();
    for (std::int32_t k = 0; k < n_parts; ++k) {
      __syncthreads();
      part.write(right, kLd);
      __syncthreads();
      if (k + 1 < n_parts) {
        read_keys(column, k + 1);
      } else if (column + kCols < end) {
        read_keys(column + kCols, 0);
      }
      sums.template add<true>(left + k * kDepth, left_ld, right, kLd, kDepth);
    }
    sums.scale(shape.scale);
    sums.store(scores + column, a.scratch.ld);
  }
}

// The queries of a block that attend to a column: [first, last] of its rows.
struct Attending {
  std::int32_t first, last;
  __device__ bool contains(std::int32_t r) const { return r >= first && r <= last; }
};

// Grid: (queries, values of kParts parts of a head), head, tile.
template <class T, int kWidth, int kParts>
__global__ void __launch_bounds__(kThreads, kBlocksOfSm<kWidth, kParts>)
    weigh_kernel(WeighArguments<T> a) {
  constexpr int kLd = kCols + Sums<T>::kPad;
  constexpr int kRowsOfWarp = kRows / kWarps;
  using Values = Part<T, kWidth>;
  constexpr bool kCopies = Values::kCopies;
  TOVAMILL_DYNAMIC_SHARED(shared_bytes);
  T* weights = reinterpret_cast<T*>(shared_bytes);  // (kRows, kLd)
  T* values = weights + kRows * kLd;                // (kParts or 1, kCols, kLd)
  float* tile_scores =
      reinterpret_cast<float*>(values + (kCopies ? kParts : 1) * kCols * kLd);  // (kRows, kCols)
  float* product =
      reinterpret_cast<float*>(shared_bytes);  // (kRows, kCols), once those are done with
  __shared__ float shifts[kRows], inverse[kRows];
  __shared__ float lane_sums[kRows][kLanes];  // of a row, each lane its own
  const AttentionShape& shape = a.shape;
  const auto slot = static_cast<std::int32_t>(blockIdx.z),
             head = static_cast<std::int32_t>(blockIdx.y);
  const TileInfo& tile = a.tiles[slot];
  const std::int32_t d = shape.head_dim, n_passes = (parts_of(d) + kParts - 1) / kParts,
                     group = head / shape.heads_per_group;
  const auto first_step = static_cast<std::int32_t>(blockIdx.x) / n_passes * kRows,
             first_part = static_cast<std::int32_t>(blockIdx.x) % n_passes * kParts;
  const std::int32_t n_steps = min(kRows, tile.n_steps - first_step);
  if (n_steps <= 0) return;
  const auto warp = static_cast<std::int32_t>(threadIdx.x) / kLanes,
             lane = static_cast<std::int32_t>(threadIdx.x) % kLanes;
  const LayerView layer(tile.state, a.layout, tile.capacity, a.layer);
  const TileRows<T> stored(layer, tile, slot, head / shape.per_kv, HeadArray::values,
                           a.scratch.joining);
  const std::int32_t* positions = layer.positions(group);
  const std::int32_t* death = a.scratch.deaths(slot, group, shape.n_groups);
  const std::int64_t rows =
      (static_cast<std::int64_t>(slot) * shape.n_heads + head) * kGroupTokens + first_step;
  const float* scores = a.scratch.scores + rows * a.scratch.ld;
  const std::int32_t n_columns = tile.n_state + first_step + n_steps;
  const auto attending = [&](std::int32_t j) {
    if (j >= n_columns) return Attending{0, -1};
    std::int64_t last = min(death[j] - first_step, n_steps - 1);
    if (shape.sliding_window > 0) {
      const std::int64_t last_seen =
          positions[j] + static_cast<std::int64_t>(shape.sliding_window) - 1 - tile.position;
      last = min(last, last_seen - first_step);
    }
    return Attending{j - tile.n_state - first_step,
                     static_cast<std::int32_t>(max(last, std::int64_t{-1}))};
  };
  // Of the warp's own rows.
  const auto copy_scores = [&](std::int32_t first) {
    constexpr int kWideRow = kCols / kWide<float>;
#pragma unroll 1  // else all addresses are kept in registers
    for (int i = lane; i < kRowsOfWarp * kWideRow; i += kLanes) {
      const std::int32_t r = warp * kRowsOfWarp + i / kWideRow, c = i % kWideRow * kWide<float>;
      copy_16_bytes(tile_scores + r * kCols + c,
                    scores + static_cast<std::int64_t>(r) * a.scratch.ld + first + c, true);
    }
  };
  // The score of a column that the query attends to, else -inf.
  const auto score = [&](const Attending& at, std::int32_t r, std::int32_t j) {
    return at.contains(r) ? scores[static_cast<std::int64_t>(r) * a.scratch.ld + j] : -INFINITY;
  };
  for (std::int32_t i = 0; i < kRowsOfWarp; ++i) {
    const std::int32_t r = warp * kRowsOfWarp + i;
    float top = -INFINITY;
    if (a.has_sums) {
      if (r < n_steps) top = a.scratch.row_max[rows + r];
    } else {
      for (std::int32_t j = lane; j < n_columns; j += kLanes) {
        const float x = score(attending(j), r, j);
        top = (x > top || x != x) ? x : top;
      }
      top = warp_max(top);
    }
    if (lane == 0) shifts[r] = softmax_shift(top);
    lane_sums[r][lane] = 0.0f;
  }
  Sums<T> sums[kParts];
#pragma unroll
  for (int p = 0; p < kParts; ++p) sums[p].clear();
  copy_scores(0);
  for (std::int32_t first = 0; first < n_columns; first += kCols) {
    const auto value = [&](int r) { return stored.at(first + r); };
    const std::int32_t n_values = min(kCols, n_columns - first);
    const Attending at[2] = {attending(first + lane), attending(first + lane + kLanes)};
    wait_for_copies();
    __syncthreads();
    if constexpr (kCopies) {
#pragma unroll
      for (int p = 0; p < kParts; ++p)
        Values::copy(value, n_values, (first_part + p) * kDepth, d, values + p * kCols * kLd, kLd);
    }
#pragma unroll 4
    for (int i = 0; i < kRowsOfWarp; ++i) {
      const std::int32_t r = warp * kRowsOfWarp + i;
      const float shift = shifts[r];
      float sum = 0.0f;
#pragma unroll
      for (int c = 0; c < 2; ++c) {
        const int column = lane + c * kLanes;
        const float x = at[c].contains(r) ? tile_scores[r * kCols + column] : -INFINITY;
        const float term = softmax_term(x, shift);
        sum += term;
        weights[r * kLd + column] = from_float<T>(term);
      }
      lane_sums[r][lane] += sum;
    }
    wait_for_copies();
    __syncthreads();
    if (first + kCols < n_columns) copy_scores(first + kCols);
#pragma unroll
    for (int p = 0; p < kParts; ++p) {
      if constexpr (!kCopies) {
        Values part;
        part.read(value, n_values, (first_part + p) * kDepth, d);
        if (p > 0) __syncthreads();
        part.write(values, kLd);
        __syncthreads();
      }
      sums[p].template add<false>(weights, kLd, values + (kCopies ? p * kCols * kLd : 0), kLd,
                                  kCols);
    }
  }
  for (int i = 0; i < kRowsOfWarp; ++i) {
    const float sum = warp_sum(lane_sums[warp * kRowsOfWarp + i][lane]);
    if (lane == 0) inverse[warp * kRowsOfWarp + i] = sum == 0.0f ? 0.0f : 1.0f / sum;
  }
#pragma unroll
  for (int p = 0; p < kParts; ++p) {
    __syncthreads();
    sums[p].store(product, kCols);
    __syncthreads();
    T* out = a.out + static_cast<std::int64_t>(tile.first_row + first_step) * shape.q_size() +
             head * d + (first_part + p) * kDepth;
    for (int i = static_cast<int>(threadIdx.x) * 2; i < n_steps * kDepth; i += kThreads * 2) {
      const int r = i / kDepth, c = i % kDepth;
      if ((first_part + p) * kDepth + c >= d) continue;  // d is even
      const Pack<T, 2> pair{from_float<T>(product[r * kCols + c] * inverse[r]),
                            from_float<T>(product[r * kCols + c + 1] * inverse[r])};
      write_pack(out + static_cast<std::int64_t>(r) * shape.q_size() + c, pair);
    }
  }
  if (!a.keeps_weights || first_part > 0 || static_cast<std::int32_t>(threadIdx.x) >= n_steps)
    return;
  // Of `window`: what the token that leaves after each query weighed.
  const auto r = static_cast<std::int32_t>(threadIdx.x);
  const std::int32_t column =
      a.scratch.evicted[(static_cast<std::int64_t>(slot) * shape.n_groups + group) * kGroupTokens +
                        first_step + r];
  const float x = column >= 0 ? score(attending(column), r, column) : -INFINITY;
  a.scratch.head_weight[rows + r] = softmax_term(x, shifts[r]) * inverse[r];
}

template <class T, int kWidth, int kParts>
void launch_weigh(const WeighArguments<T>& a, std::int32_t n_tiles, std::int32_t max_steps,
                  const Stream& stream) {
  constexpr std::size_t kValueParts = Part<T, kWidth>::kCopies ? kParts : 1;
  constexpr std::size_t kOperands =
      (kRows + kValueParts * kCols) * (kCols + Sums<T>::kPad) * sizeof(T) +
      kRows * kCols * sizeof(float);
  constexpr std::size_t kProduct = kRows * kCols * sizeof(float);
  launch(
      weigh_kernel<T, kWidth, kParts>, "weigh",
      {.blocks = dim3(static_cast<unsigned>((max_steps + kRows - 1) / kRows *
                                            ((parts_of(a.shape.head_dim) + kParts - 1) / kParts)),
                      static_cast<unsigned>(a.shape.n_heads), static_cast<unsigned>(n_tiles)),
       .threads = dim3(kThreads),
       .shared_bytes = kOperands > kProduct ? kOperands : kProduct},
      stream, a);
}

template <class T, int kWidth>
void launch_weigh(const WeighArguments<T>& a, std::int32_t n_tiles, std::int32_t max_steps,
                  const Stream& stream) {
  if (parts_of(a.shape.head_dim) == 1)
    return launch_weigh<T, kWidth, 1>(a, n_tiles, max_steps, stream);
  launch_weigh<T, kWidth, kMostHeadParts>(a, n_tiles, max_steps, stream);
}

}  // namespace

// Rows are read in 16 bytes, where heads are of so many, else in two elements.
template <class T>
void score_tiles(const ScoreArguments<T>& a, std::int32_t n_tiles, std::int32_t max_columns,
                 std::int32_t max_steps, const Stream& stream) {
  constexpr std::int32_t kColumns = kColumnTiles * kCols;
  const int left_ld = parts_of(a.shape.head_dim) * kDepth + Sums<T>::kPad,
            right_ld = kDepth + Sums<T>::kPad;
  launch(a.shape.head_dim % kWide<T> == 0 ? score_kernel<T, kWide<T>> : score_kernel<T, 2>,
         "scores",
         {.blocks = dim3(static_cast<unsigned>((max_columns + kColumns - 1) / kColumns),
                         static_cast<unsigned>((max_steps + kRows - 1) / kRows),
                         static_cast<unsigned>(n_tiles * a.shape.n_heads)),
          .threads = dim3(kThreads),
          .shared_bytes = static_cast<std::size_t>(kRows * left_ld + kCols * right_ld) * sizeof(T)},
         stream, a);
}

template <class T>
void weigh_tiles(const WeighArguments<T>& a, std::int32_t n_tiles, std::int32_t max_steps,
                 const Stream& stream) {
  if (a.shape.head_dim % kWide<T> == 0)
    return launch_weigh<T, kWide<T>>(a, n_tiles, max_steps, stream);
  launch_weigh<T, 2>(a, n_tiles, max_steps, stream);
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
