// What a thread block of the weighted sum does: the scores of 64 queries of a head become weights,
// which are multiplied by values, kGemmTile slots at a time. Device code of
// attention_weighted_sum.cu.
#pragma once

#include "kernels/cuda/attention/attention_kernels.h"
#include "kernels/cuda/gemm/gemm_tile.h"

namespace tovamill::cuda::weighted_sum {

using namespace gemm_tile;

inline constexpr int kRowsOfWarp = kRows / kWarps;  // whose scores a warp exponentiates

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
__device__ inline void copy_scores(const QueryRows& q, std::int32_t first, float* to) {
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
// where `row_max` (of all rows of the scratch) is null; the sink of the head takes part.
__device__ inline void find_shifts(const QueryRows& q, const float* row_max, float sink,
                                   float* shifts) {
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
      top = sink > top ? sink : top;
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
__device__ inline void keep_evicted_weight(const QueryRows& q, const TileScratch& scratch,
                                           std::int64_t list, const float* shifts,
                                           const float* inverse) {
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

}  // namespace tovamill::cuda::weighted_sum
