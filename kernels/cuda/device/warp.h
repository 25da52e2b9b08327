// What the threads of a warp and of a thread block compute together. For sources of kernels only.
#pragma once

#include "kernels/cuda/device/device_code.h"
#include "kernels/policy/decision.h"

// Memory of a block whose size the launch says, aligned as warps load matrices of it (32 bytes).
#ifndef TOVAMILL_DYNAMIC_SHARED
#define TOVAMILL_DYNAMIC_SHARED(name) extern __shared__ __align__(128) unsigned char name[]
#endif

namespace tovamill::cuda {

// The sum over the lanes in a fixed order, the same in all lanes.
__device__ inline float warp_sum(float x) {
  for (int i = kLanes / 2; i > 0; i /= 2) x += __shfl_xor_sync(kAllLanes, x, i);
  return x;
}

// The maximum over the lanes, the same in all; NaN where any lane has one.
__device__ inline float warp_max(float x) {
  for (int i = kLanes / 2; i > 0; i /= 2) {
    const float other = __shfl_xor_sync(kAllLanes, x, i);
    x = (other > x || other != other) ? other : x;
  }
  return x;
}

// Sums and maxima over a block of whole warps; `shared` holds a float a warp. All threads must
// take part; the result is the same in all.
__device__ inline float block_sum(float x, float* shared) {
  x = warp_sum(x);
  __syncthreads();  // threads may still read the one before
  if (threadIdx.x % kLanes == 0) shared[threadIdx.x / kLanes] = x;
  __syncthreads();
  float sum = 0.0f;
  for (unsigned w = 0; w < blockDim.x / kLanes; ++w) sum += shared[w];
  return sum;
}

__device__ inline float block_max(float x, float* shared) {
  x = warp_max(x);
  __syncthreads();
  if (threadIdx.x % kLanes == 0) shared[threadIdx.x / kLanes] = x;
  __syncthreads();
  float max_of_all = shared[0];
  for (unsigned w = 1; w < blockDim.x / kLanes; ++w) {
    const float other = shared[w];
    max_of_all = (other > max_of_all || other != other) ? other : max_of_all;
  }
  return max_of_all;
}

// The candidate of all lanes that leaves first (leaves_before), in all lanes.
__device__ inline Candidate warp_first(Candidate c) {
  const std::uint32_t order = c.slot < 0 ? kOrderOfNone : order_of(c.score),
                      lowest = __reduce_min_sync(kAllLanes, order),
                      position = order == lowest ? static_cast<std::uint32_t>(c.position) : ~0u,
                      oldest = __reduce_min_sync(kAllLanes, position);
  const unsigned found =
      __ballot_sync(kAllLanes, order == lowest && static_cast<std::uint32_t>(c.position) == oldest);
  const int from = __ffs(static_cast<int>(found)) - 1;
  return {__shfl_sync(kAllLanes, c.score, from), static_cast<std::int32_t>(oldest),
          __shfl_sync(kAllLanes, c.slot, from)};
}

// Where a number is copied from and to; nowhere, if `to` is null.
template <class V>
struct Copy {
  const V* from;
  V* to;
};

// Copies `n` of what `copy_of(i)` says, by all threads of a block: each reads four before it writes
// them, so no copy may write what another one reads.
template <class V, class CopyOf>
__device__ inline void copy_all(std::int32_t n, const CopyOf& copy_of) {
  constexpr std::int32_t kBatch = 4;
  const auto by = static_cast<std::int32_t>(blockDim.x);
  for (auto first = static_cast<std::int32_t>(threadIdx.x); first < n; first += by * kBatch) {
    V read[kBatch];
#pragma unroll
    for (std::int32_t b = 0; b < kBatch; ++b) read[b] = *copy_of(min(first + b * by, n - 1)).from;
#pragma unroll
    for (std::int32_t b = 0; b < kBatch; ++b) {
      V* to = first + b * by < n ? copy_of(first + b * by).to : nullptr;
      if (to != nullptr) *to = read[b];
    }
  }
}

}  // namespace tovamill::cuda
