// Vectors of float32 and int32 by the compiler's vector extension: TOVAMILL_LANES lanes, one
// definition for every instruction set. Included by the isa_*.cc files only, each compiled with its
// own flags; everything sits in an unnamed namespace so that no two instruction sets can be mixed
// up by the linker.
#pragma once

#include <cstdint>
#include <cstring>

#ifndef TOVAMILL_LANES
#error "define TOVAMILL_LANES (16, 8 or 4) before including simd.h"
#endif

namespace {

constexpr int kLanes = TOVAMILL_LANES;
typedef float Vf __attribute__((vector_size(4 * TOVAMILL_LANES)));
typedef std::int32_t Vi __attribute__((vector_size(4 * TOVAMILL_LANES)));
typedef std::uint32_t Vu __attribute__((vector_size(4 * TOVAMILL_LANES)));
typedef std::uint16_t Vh __attribute__((vector_size(2 * TOVAMILL_LANES)));

inline Vf load(const float* p) {
  Vf v;
  std::memcpy(&v, p, sizeof v);
  return v;
}
inline Vi load(const std::int32_t* p) {
  Vi v;
  std::memcpy(&v, p, sizeof v);
  return v;
}
inline void store(float* p, Vf v) { std::memcpy(p, &v, sizeof v); }
// x - 0 is x whatever x is, so that no instruction is left of it; x + 0 is not of -0.
inline Vf splat(float x) { return x - Vf{}; }
inline Vi splat(std::int32_t x) { return x - Vi{}; }
inline Vf max(Vf a, Vf b) { return a > b ? a : b; }
inline Vf min(Vf a, Vf b) { return a < b ? a : b; }

// bf16 lies in the upper half of a float32.
inline Vf load_bf16(const std::uint16_t* p) {
  Vh h;
  std::memcpy(&h, p, sizeof h);
  const Vu u = __builtin_convertvector(h, Vu) << 16;
  return (Vf)u;
}
// Rounds to nearest even; NaN stays NaN.
inline void store_bf16(std::uint16_t* p, Vf v) {
  const Vu bits = (Vu)v;
  const Vu rounded = (bits + 0x7fffu + ((bits >> 16) & 1u)) >> 16;
  const Vu quiet = (bits >> 16) | 0x40u;
  const Vi is_number = v == v;
  const Vh h = __builtin_convertvector(is_number ? rounded : quiet, Vh);
  std::memcpy(p, &h, sizeof h);
}

// Sums and extremes over lanes in a fixed order: halves are folded.
inline float fold_sum(Vf v) {
  float lane[kLanes];
  std::memcpy(lane, &v, sizeof v);
  for (int n = kLanes / 2; n > 0; n /= 2) {
    for (int i = 0; i < n; ++i) lane[i] += lane[i + n];
  }
  return lane[0];
}
inline float fold_max(Vf v) {
  float lane[kLanes];
  std::memcpy(lane, &v, sizeof v);
  for (int i = 1; i < kLanes; ++i) lane[0] = lane[i] > lane[0] ? lane[i] : lane[0];
  return lane[0];
}
inline float fold_min(Vf v) {
  float lane[kLanes];
  std::memcpy(lane, &v, sizeof v);
  for (int i = 1; i < kLanes; ++i) lane[0] = lane[i] < lane[0] ? lane[i] : lane[0];
  return lane[0];
}

inline bool any_lane(Vi v) {
  std::int32_t lane[kLanes], any = 0;
  std::memcpy(lane, &v, sizeof v);
  for (int i = 0; i < kLanes; ++i) any |= lane[i];
  return any != 0;
}

// 2^x to 2 ulp for x <= 127; 0 below -126. The polynomial is the minimax of 2^f on [-1/2, 1/2],
// degree 6.
inline Vf exp2(Vf x) {
  const float magic = 12582912.0f;  // 1.5 * 2^23: adding and subtracting it rounds to an integer
  const Vf clamped = max(x, splat(-127.0f));
  const Vf n = (clamped + magic) - magic;
  const Vf f = clamped - n;
  Vf p = splat(1.535336188319500e-4f);
  p = p * f + 1.339887440266574e-3f;
  p = p * f + 9.618437357674640e-3f;
  p = p * f + 5.550332471162809e-2f;
  p = p * f + 2.402264791363012e-1f;
  p = p * f + 6.931472028550421e-1f;
  p = p * f + 1.0f;
  const Vi exponent = (__builtin_convertvector(n, Vi) + 127) << 23;
  const Vf y = p * (Vf)exponent;
  return x >= splat(-126.0f) ? y : Vf{};
}

constexpr float kLog2E = 1.44269504088896341f;

}  // namespace
