// How numbers are stored, for host and device. Sources of kernels use of CUDA's language what
// cuda_runtime.h gives and no `<<< >>>`, so that the tests can compile them as C++ and run them on
// the CPU (tests/support/cuda_emulation).
#pragma once

#include <cuda_runtime.h>

#include <cmath>
#include <cstddef>
#include <cstdint>

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

}  // namespace tovamill::cuda
