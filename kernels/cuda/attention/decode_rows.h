// Products of a few queries with the keys and values of one KV head, by a thread block: each row of
// the state is read once for all of them. Device code of attention_decode.cu.
#pragma once

#include "kernels/cuda/device/warp.h"

namespace tovamill::cuda::decode_rows {

inline constexpr int kThreads = 256, kWarps = kThreads / kLanes;

// Rows that a lane reads of at a time: 16 bytes of each are in flight from memory at once, which
// with 24 warps of an SM are some 48 KiB.
inline constexpr int kBatch = 4;

// scores[q * ld + j] = shape.score_of(queries[q] . rows[j]) of at most kQueries queries (n_queries,
// d) and the `n` rows (n, d). kRowLanes lanes read a row, kWidth elements each.
template <class T, int kWidth, int kRowLanes, int kQueries>
__device__ void score_rows(const T* queries, std::int32_t n_queries, const T* rows, std::int32_t n,
                           const AttentionShape& shape, float* scores, std::int32_t ld) {
  const std::int32_t d = shape.head_dim;
  constexpr int kRows = kLanes / kRowLanes;
  const auto warp = static_cast<std::int32_t>(threadIdx.x) / kLanes,
             lane = static_cast<std::int32_t>(threadIdx.x) % kLanes;
  const std::int32_t part = lane % kRowLanes;
  for (std::int32_t first = warp * kRows; first < n; first += kWarps * kRows * kBatch) {
    const std::int32_t j = first + lane / kRowLanes;
    float sum[kBatch][kQueries] = {};
    for (std::int32_t i = part * kWidth; i < d; i += kRowLanes * kWidth) {
      Pack<T, kWidth> k[kBatch];
#pragma unroll
      for (int b = 0; b < kBatch; ++b) {  // in place of rows that do not exist, the last one
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
        for (int i = kRowLanes / 2; i > 0; i /= 2)
          sum[b][q] += __shfl_xor_sync(kAllLanes, sum[b][q], i);
        if (part == 0 && row < n && q < n_queries)
          scores[static_cast<std::int64_t>(q) * ld + row] = shape.score_of(sum[b][q]);
      }
    }
  }
}

// sums[(q * kWarps + warp) * d + i] = sum over the warp's slots j of weights[q * ld + j]
// values[j][i], of at most kQueries queries; values (n, d).
template <class T, int kWidth, int kRowLanes, int kQueries>
__device__ void sum_rows(const float* weights, std::int32_t ld, std::int32_t n_queries,
                         const T* values, std::int32_t n, std::int32_t d, float* sums) {
  constexpr int kRows = kLanes / kRowLanes;
  const auto warp = static_cast<std::int32_t>(threadIdx.x) / kLanes,
             lane = static_cast<std::int32_t>(threadIdx.x) % kLanes;
  for (std::int32_t begin = 0; begin < d; begin += kRowLanes * kWidth) {
    const std::int32_t i = begin + lane % kRowLanes * kWidth;
    float sum[kQueries][kWidth] = {};
    for (std::int32_t j = warp * kRows + lane / kRowLanes; i < d && j < n;
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
        for (int l = kRowLanes; l < kLanes; l *= 2)
          sum[q][e] += __shfl_xor_sync(kAllLanes, sum[q][e], l);
        if (lane < kRowLanes && i < d && q < n_queries)
          sums[(q * kWarps + warp) * d + i + e] = sum[q][e];
      }
    }
  }
}

}  // namespace tovamill::cuda::decode_rows
