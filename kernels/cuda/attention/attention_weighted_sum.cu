// The weighted sum of attention, out = softmax(scores of live slots) V, of each query and head.
//
// Mapping: a thread block takes 64 queries of one head and 64 or 128 elements of its values, and
// goes over the slots kGemmTile at a time: its warps turn 16 rows of scores each into
// exp(score - row_max), the block multiplies them by the values on the tensor cores (bf16) or by
// fused multiply-adds (float32), while the scores of the next slots are on their way from memory.
// The sums are divided by the rows' sums of exponentials at the end. Each number is summed in the
// same order whatever else is in the step.
//
// A layer and tile of s queries and n slots, h heads of size d: 2 s n h d operations; scores are
// read once (4 s n h bytes, twice for policies without a scan); values are read s / 64 times for
// each of their heads, from the L2 cache.
#include "kernels/cuda/attention/attention_kernels.h"
#include "kernels/cuda/attention/gemm_tile.h"

namespace tovamill::cuda {
namespace {

using namespace gemm_tile;

constexpr int kRowsOfWarp = kRows / kWarps;
constexpr int kMaxHeadParts = 2;  // of one block's sums
// Blocks of an SM that are asked of the compiler: as many as it can keep all numbers in registers
// for, 4 of compute capability 9.0 for bf16 heads of 128, which are 16 of 64 warps. 0: as many as
// come.
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

// The dynamic shared memory of a block.
template <class T, int kWidth, int kParts>
struct SharedTiles {
  static constexpr bool kCopies = Part<T, kWidth>::kCopies;
  static constexpr int kLd = kCols + Sums<T>::kPad;
  static constexpr int kValueParts = kCopies ? kParts : 1;  // else one after another
  static constexpr std::size_t kBytes =
      std::size_t{kRows + kValueParts * kCols} * kLd * sizeof(T) + kRows * kCols * sizeof(float);

  T* weights;     // (kRows, kLd)
  T* values;      // (kValueParts, kCols, kLd)
  float* scores;  // (kRows, kCols)
  float* sums;    // (kRows, kCols), in place of weights and values once those are done with

  __device__ explicit SharedTiles(unsigned char* memory)
      : weights(reinterpret_cast<T*>(memory)),
        values(weights + kRows * kLd),
        scores(reinterpret_cast<float*>(values + kValueParts * kCols * kLd)),
        sums(reinterpret_cast<float*>(memory)) {}
};

// The queries of a block that attend to a slot: [first, last] of its rows.
struct Attending {
  std::int32_t first, last;
  __device__ bool contains(std::int32_t r) const { return r >= first && r <= last; }
};

// Queries [first_query, first_query + n_queries) of a tile, for one head.
struct QueryRows {
  const AttentionShape& shape;
  const TileInfo& tile;
  std::int32_t first_query, n_queries, n_slots;
  const std::int32_t *positions, *eviction_step;  // (n_slots)
  std::int64_t row;                               // of the first query in the scratch
  const float* scores;                            // (n_queries, ld)
  std::int32_t ld;

  __device__ Attending attending(std::int32_t slot) const {
    if (slot >= n_slots) return {0, -1};
    std::int64_t last = min(eviction_step[slot] - first_query, n_queries - 1);
    if (shape.sliding_window > 0) {
      const std::int64_t last_seen =
          positions[slot] + static_cast<std::int64_t>(shape.sliding_window) - 1 - tile.position;
      last = min(last, last_seen - first_query);
    }
    return {slot - tile.n_state - first_query,
            static_cast<std::int32_t>(max(last, std::int64_t{-1}))};
  }
  // The score of a slot that query r attends to, else -inf.
  __device__ float score(std::int32_t r, std::int32_t slot) const {
    return attending(slot).contains(r) ? scores[static_cast<std::int64_t>(r) * ld + slot]
                                       : -INFINITY;
  }
};

// The warp's rows of slots [first, first + kCols) on their way to `to` (kRows, kCols).
__device__ void copy_scores(const QueryRows& q, std::int32_t first, float* to) {
  constexpr int kPacksOfRow = kCols / kWide<float>;
  const auto warp = static_cast<std::int32_t>(threadIdx.x) / kLanes,
             lane = static_cast<std::int32_t>(threadIdx.x) % kLanes;
#pragma unroll 1  // else all addresses are kept in registers
  for (int i = lane; i < kRowsOfWarp * kPacksOfRow; i += kLanes) {
    const std::int32_t r = warp * kRowsOfWarp + i / kPacksOfRow, c = i % kPacksOfRow * kWide<float>;
    copy_16_bytes(to + r * kCols + c, q.scores + static_cast<std::int64_t>(r) * q.ld + first + c,
                  true);
  }
}

// shifts (kRows) of the warp's rows, of the maxima that the scan has found, or that are found here
// where `row_max` (of all rows of the scratch) is null.
__device__ void find_shifts(const QueryRows& q, const float* row_max, float* shifts) {
  const auto warp = static_cast<std::int32_t>(threadIdx.x) / kLanes,
             lane = static_cast<std::int32_t>(threadIdx.x) % kLanes;
  for (std::int32_t i = 0; i < kRowsOfWarp; ++i) {
    const std::int32_t r = warp * kRowsOfWarp + i;
    float top = -INFINITY;
    if (row_max != nullptr) {
      if (r < q.n_queries) top = row_max[q.row + r];
    } else {
      for (std::int32_t j = lane; j < q.n_slots; j += kLanes) {
        const float x = q.score(r, j);
        top = (x > top || x != x) ? x : top;
      }
      top = warp_max(top);
    }
    if (lane == 0) shifts[r] = softmax_shift(top);
  }
}

// weights (kRows, kLd) = exp(score - row_max) of the warp's rows and kCols slots, 0 where a query
// does not attend; each lane adds those of its two slots to its own of lane_sums.
template <class T, int kLd>
__device__ void exponentiate(const Attending (&at)[2], const float* scores, const float* shifts,
                             T* weights, float (*lane_sums)[kLanes]) {
  const auto warp = static_cast<std::int32_t>(threadIdx.x) / kLanes,
             lane = static_cast<std::int32_t>(threadIdx.x) % kLanes;
#pragma unroll 4
  for (int i = 0; i < kRowsOfWarp; ++i) {
    const std::int32_t r = warp * kRowsOfWarp + i;
    const float shift = shifts[r];
    float sum = 0.0f;
#pragma unroll
    for (int c = 0; c < 2; ++c) {
      const int column = lane + c * kLanes;
      const float x = at[c].contains(r) ? scores[r * kCols + column] : -INFINITY;
      const float term = softmax_term(x, shift);
      sum += term;
      weights[r * kLd + column] = from_float<T>(term);
    }
    lane_sums[r][lane] += sum;
  }
}

// out (rows of the step, q_size) = sums / the rows' sums of exponentials, of elements
// [first, first + kDepth) of the head, as far as it has them. `out` begins at the block's first
// query and the head's first element.
template <class T>
__device__ void store_rows(const QueryRows& q, std::int32_t first, const float* sums,
                           const float* inverse, T* out) {
  const std::int32_t d = q.shape.head_dim;
  for (int i = static_cast<int>(threadIdx.x) * 2; i < q.n_queries * kDepth; i += kThreads * 2) {
    const int r = i / kDepth, c = i % kDepth;
    if (first + c >= d) continue;  // d is even
    const Pack<T, 2> pair{from_float<T>(sums[r * kCols + c] * inverse[r]),
                          from_float<T>(sums[r * kCols + c + 1] * inverse[r])};
    write_pack(out + static_cast<std::int64_t>(r) * q.shape.q_size() + first + c, pair);
  }
}

// The weight of the slot that is evicted after each query, for policies that decide without
// weights: a thread a query.
__device__ void keep_evicted_weight(const QueryRows& q, const TileScratch& scratch,
                                    std::int64_t list, const float* shifts, const float* inverse) {
  const auto r = static_cast<std::int32_t>(threadIdx.x);
  if (r >= q.n_queries) return;
  const std::int32_t slot = scratch.evicted[list + q.first_query + r];
  const float x = slot >= 0 ? q.score(r, slot) : -INFINITY;
  scratch.head_weight[q.row + r] = softmax_term(x, shifts[r]) * inverse[r];
}

// sums (kRows, kParts parts of the head) = weights times values over all slots; lane_sums the rows'
// sums of weights, a lane's slots each.
template <class T, int kWidth, int kParts>
__device__ void sum_slots(const QueryRows& q, const TileRows<T>& stored, std::int32_t first_part,
                          const SharedTiles<T, kWidth, kParts>& shared, const float* shifts,
                          float (*lane_sums)[kLanes], Sums<T> (&sums)[kParts]) {
  using Tiles = SharedTiles<T, kWidth, kParts>;
  using Values = Part<T, kWidth>;
  constexpr int kLd = Tiles::kLd;
  const std::int32_t d = q.shape.head_dim;
  const auto lane = static_cast<std::int32_t>(threadIdx.x) % kLanes;
  copy_scores(q, 0, shared.scores);
  for (std::int32_t first = 0; first < q.n_slots; first += kCols) {
    const auto value = [&](int r) { return stored.at(first + r); };
    const std::int32_t n_values = min(kCols, q.n_slots - first);
    const Attending at[2] = {q.attending(first + lane), q.attending(first + lane + kLanes)};
    wait_for_copies();
    __syncthreads();
    if constexpr (Tiles::kCopies) {
#pragma unroll
      for (int p = 0; p < kParts; ++p)
        Values::copy(value, n_values, (first_part + p) * kDepth, d, shared.values + p * kCols * kLd,
                     kLd);
    }
    exponentiate<T, kLd>(at, shared.scores, shifts, shared.weights, lane_sums);
    wait_for_copies();
    __syncthreads();
    if (first + kCols < q.n_slots) copy_scores(q, first + kCols, shared.scores);
#pragma unroll
    for (int p = 0; p < kParts; ++p) {
      if constexpr (!Tiles::kCopies) {
        Values part;
        part.read(value, n_values, (first_part + p) * kDepth, d);
        if (p > 0) __syncthreads();
        part.write(shared.values, kLd);
        __syncthreads();
      }
      sums[p].template add<false>(
          shared.weights, kLd, shared.values + (Tiles::kCopies ? p * kCols * kLd : 0), kLd, kCols);
    }
  }
}

// Grid: (queries, elements of kParts parts of a head), head, tile.
template <class T, int kWidth, int kParts>
__global__ void __launch_bounds__(kThreads, kBlocksOfSm<kWidth, kParts>)
    weighted_sum_kernel(WeightedSumArguments<T> a) {
  TOVAMILL_DYNAMIC_SHARED(shared_bytes);
  __shared__ float shifts[kRows], inverse[kRows];
  __shared__ float lane_sums[kRows][kLanes];  // of a row, each lane its own
  const SharedTiles<T, kWidth, kParts> shared(shared_bytes);
  const AttentionShape& shape = a.shape;
  const auto tile_index = static_cast<std::int32_t>(blockIdx.z),
             head = static_cast<std::int32_t>(blockIdx.y);
  const TileInfo& tile = a.tiles[tile_index];
  const std::int32_t d = shape.head_dim, n_passes = (parts_of(d) + kParts - 1) / kParts,
                     group = head / shape.heads_per_group;
  const auto first_query = static_cast<std::int32_t>(blockIdx.x) / n_passes * kRows,
             first_part = static_cast<std::int32_t>(blockIdx.x) % n_passes * kParts;
  const std::int32_t n_queries = min(kRows, tile.n_queries - first_query);
  if (n_queries <= 0) return;
  const auto warp = static_cast<std::int32_t>(threadIdx.x) / kLanes,
             lane = static_cast<std::int32_t>(threadIdx.x) % kLanes;
  const LayerView layer(tile.state, a.layout, tile.capacity, a.layer);
  const TileRows<T> stored(layer, tile, tile_index, head / shape.heads_per_kv, HeadArray::values,
                           a.scratch.appended);
  const std::int64_t row = a.scratch.row(tile_index, head, first_query, shape.n_heads);
  const QueryRows q{
      .shape = shape,
      .tile = tile,
      .first_query = first_query,
      .n_queries = n_queries,
      .n_slots = tile.n_state + first_query + n_queries,
      .positions = layer.positions(group),
      .eviction_step = a.scratch.eviction_steps(tile_index, group, shape.n_eviction_groups),
      .row = row,
      .scores = a.scratch.scores + row * a.scratch.ld,
      .ld = a.scratch.ld};
  find_shifts(q, a.has_row_max ? a.scratch.row_max : nullptr, shifts);
  for (int i = 0; i < kRowsOfWarp; ++i) lane_sums[warp * kRowsOfWarp + i][lane] = 0.0f;
  Sums<T> sums[kParts];
#pragma unroll
  for (int p = 0; p < kParts; ++p) sums[p].clear();
  sum_slots<T, kWidth, kParts>(q, stored, first_part, shared, shifts, lane_sums, sums);
  for (int i = 0; i < kRowsOfWarp; ++i) {
    const float sum = warp_sum(lane_sums[warp * kRowsOfWarp + i][lane]);
    if (lane == 0) inverse[warp * kRowsOfWarp + i] = sum == 0.0f ? 0.0f : 1.0f / sum;
  }
#pragma unroll
  for (int p = 0; p < kParts; ++p) {
    __syncthreads();
    sums[p].store(shared.sums, kCols);
    __syncthreads();
    T* out =
        a.out + static_cast<std::int64_t>(tile.first_row + first_query) * shape.q_size() + head * d;
    store_rows(q, (first_part + p) * kDepth, shared.sums, inverse, out);
  }
  if (!a.keeps_weights || first_part > 0) return;
  keep_evicted_weight(q, a.scratch, a.scratch.list(tile_index, group, shape.n_eviction_groups),
                      shifts, inverse);
}

template <class T, int kWidth, int kParts>
void launch_weighted_sum(const WeightedSumArguments<T>& a, std::int32_t n_tiles,
                         std::int32_t max_queries, const Stream& stream) {
  constexpr std::size_t kSumsBytes = kRows * kCols * sizeof(float);
  constexpr std::size_t kTileBytes = SharedTiles<T, kWidth, kParts>::kBytes;
  const int n_passes = (parts_of(a.shape.head_dim) + kParts - 1) / kParts;
  launch(weighted_sum_kernel<T, kWidth, kParts>, "weighted_sum",
         {.blocks = dim3(static_cast<unsigned>((max_queries + kRows - 1) / kRows * n_passes),
                         static_cast<unsigned>(a.shape.n_heads), static_cast<unsigned>(n_tiles)),
          .threads = dim3(kThreads),
          .shared_bytes = kTileBytes > kSumsBytes ? kTileBytes : kSumsBytes},
         stream, a);
}

template <class T, int kWidth>
void launch_weighted_sum(const WeightedSumArguments<T>& a, std::int32_t n_tiles,
                         std::int32_t max_queries, const Stream& stream) {
  if (parts_of(a.shape.head_dim) == 1)
    return launch_weighted_sum<T, kWidth, 1>(a, n_tiles, max_queries, stream);
  launch_weighted_sum<T, kWidth, kMaxHeadParts>(a, n_tiles, max_queries, stream);
}

}  // namespace

// Rows are read in 16 bytes, where heads are of so many, else in two elements.
template <class T>
void weighted_sum_tiles(const WeightedSumArguments<T>& a, std::int32_t n_tiles,
                        std::int32_t max_queries, const Stream& stream) {
  if (a.shape.head_dim % kWide<T> == 0)
    return launch_weighted_sum<T, kWide<T>>(a, n_tiles, max_queries, stream);
  launch_weighted_sum<T, 2>(a, n_tiles, max_queries, stream);
}

template void weighted_sum_tiles<float>(const WeightedSumArguments<float>&, std::int32_t,
                                        std::int32_t, const Stream&);
template void weighted_sum_tiles<Bf16>(const WeightedSumArguments<Bf16>&, std::int32_t,
                                       std::int32_t, const Stream&);

}  // namespace tovamill::cuda
