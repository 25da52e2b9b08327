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
#if defined(__CUDA_ARCH__)
  Bf16 rounded;
  asm("cvt.rn.bf16.f32 %0, %1;" : "=h"(rounded.bits) : "f"(x));
  return rounded;
#else
  union {
    float f;
    std::uint32_t u;
  } v{x};
  if ((v.u & 0x7fffffffu) > 0x7f800000u) return {static_cast<std::uint16_t>(v.u >> 16 | 0x40u)};
  return {static_cast<std::uint16_t>((v.u + 0x7fffu + (v.u >> 16 & 1u)) >> 16)};
#endif
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

// kWidth consecutive elements of a row, read and written at once: where they begin, a multiple of
// their bytes from the beginning of the row's memory.
template <class T, int kWidth>
struct alignas(sizeof(T) * kWidth) Pack {
  T at[kWidth];
};
// Elements in 16 bytes, the most that a thread reads at once.
template <class T>
inline constexpr int kWide = 16 / static_cast<int>(sizeof(T));

template <class T, int kWidth>
__host__ __device__ inline Pack<T, kWidth> read_pack(const T* p) {
  return *reinterpret_cast<const Pack<T, kWidth>*>(p);
}
template <class T, int kWidth>
__host__ __device__ inline void write_pack(T* p, const Pack<T, kWidth>& pack) {
  *reinterpret_cast<Pack<T, kWidth>*>(p) = pack;
}

// x as memory will hold it.
template <class T>
__host__ __device__ inline float rounded(float x) {
  return to_float(from_float<T>(x));
}

}  // namespace tovamill::cuda
