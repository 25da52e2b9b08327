// What all kernels use: how numbers are stored, sums and maxima over the lanes of a warp, memory
// shared by a thread block. Sources of kernels use of CUDA's language what this file and
// cuda_runtime.h give, and no `<<< >>>`: so that the tests can compile them as C++ and run them on
// the CPU (tests/support/cuda_emulation).
#pragma once

#include <cuda_runtime.h>

#include <cmath>
#include <cstddef>
#include <cstdint>

// Memory of a block whose size the launch says, 16-byte aligned.
#ifndef TOVAMILL_DYNAMIC_SHARED
#define TOVAMILL_DYNAMIC_SHARED(name) extern __shared__ __align__(16) unsigned char name[]
#endif

namespace tovamill::cuda {

inline constexpr int kLanes = 32;
inline constexpr unsigned kAllLanes = 0xffffffffu;

// bfloat16 as it stands in memory.
struct Bf16 {
  std::uint16_t bits;
};

// To the nearest, ties to even; a NaN stays one.
__host__ __device__ inline Bf16 to_bf16(float x) {
  union {
    float f;
    std::uint32_t u;
  } v{x};
  if ((v.u & 0x7fffffffu) > 0x7f800000u) return {static_cast<std::uint16_t>(v.u >> 16 | 0x40u)};
  return {static_cast<std::uint16_t>((v.u + 0x7fffu + (v.u >> 16 & 1u)) >> 16)};
}

__host__ __device__ inline float to_float(Bf16 x) {
  union {
    std::uint32_t u;
    float f;
  } v{static_cast<std::uint32_t>(x.bits) << 16};
  return v.f;
}
__host__ __device__ inline float to_float(float x) { return x; }

template <class T>
__host__ __device__ inline T from_float(float x);
template <>
__host__ __device__ inline float from_float<float>(float x) {
  return x;
}
template <>
__host__ __device__ inline Bf16 from_float<Bf16>(float x) {
  return to_bf16(x);
}

// x as memory will hold it.
template <class T>
__host__ __device__ inline float rounded(float x) {
  return to_float(from_float<T>(x));
}

// The same in all lanes, in a fixed order.
__device__ inline float warp_sum(float x) {
  for (int i = kLanes / 2; i > 0; i /= 2) x += __shfl_xor_sync(kAllLanes, x, i);
  return x;
}

// NaN where any lane brings one.
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
  __syncthreads();  // who still reads of the last one
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
  float highest = shared[0];
  for (unsigned w = 1; w < blockDim.x / kLanes; ++w) {
    const float other = shared[w];
    highest = (other > highest || other != other) ? other : highest;
  }
  return highest;
}

}  // namespace tovamill::cuda
