// The softmax's product with the values. A thread block takes 64 queries of one head, kGemmTile
// columns at a time, and has the next ones on their way from memory meanwhile. Each number is
// summed in the same order whatever else is in the step.
//
// A layer and tile of s queries and n columns, h heads of size d: 2 s n h d operations; scores are
// read once (4 s n h bytes, twice for policies without a scan); values are read s / 64 times for
// each of their heads, from the L2 cache.
#include "kernels/cuda/attention/attention_kernels.h"
#include "kernels/cuda/attention/gemm_tile.h"

namespace tovamill::cuda {
namespace {

using namespace gemm_tile;

constexpr int kMostHeadParts = 2;  // of one block's sums
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
  const std::int32_t* death = a.scratch.deaths(slot, group, shape.n_eviction_groups);
  const std::int64_t rows =
      (static_cast<std::int64_t>(slot) * shape.n_heads + head) * kRopeSegmentTokens + first_step;
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
      a.scratch.evicted[(static_cast<std::int64_t>(slot) * shape.n_eviction_groups + group) *
                            kRopeSegmentTokens +
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
  constexpr std::size_t kGemm = kRows * kCols * sizeof(float);
  launch(
      weigh_kernel<T, kWidth, kParts>, "weigh",
      {.blocks = dim3(static_cast<unsigned>((max_steps + kRows - 1) / kRows *
                                            ((parts_of(a.shape.head_dim) + kParts - 1) / kParts)),
                      static_cast<unsigned>(a.shape.n_heads), static_cast<unsigned>(n_tiles)),
       .threads = dim3(kThreads),
       .shared_bytes = kOperands > kGemm ? kOperands : kGemm},
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
void weigh_tiles(const WeighArguments<T>& a, std::int32_t n_tiles, std::int32_t max_steps,
                 const Stream& stream) {
  if (a.shape.head_dim % kWide<T> == 0)
    return launch_weigh<T, kWide<T>>(a, n_tiles, max_steps, stream);
  launch_weigh<T, 2>(a, n_tiles, max_steps, stream);
}

template void weigh_tiles<float>(const WeighArguments<float>&, std::int32_t, std::int32_t,
                                 const Stream&);
template void weigh_tiles<Bf16>(const WeighArguments<Bf16>&, std::int32_t, std::int32_t,
                                const Stream&);

}  // namespace tovamill::cuda
