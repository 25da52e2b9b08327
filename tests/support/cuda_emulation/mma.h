// Tensor-core products as CUDA's warp matrix functions give them, for the emulation: of 16 x 16 x
// 16 bfloat16 with float32 sums. A fragment's elements are spread over the lanes of a warp: lane i
// has elements 8 i to 8 i + 7 of the row-major matrix, as memory of its own, and what a product
// needs of the others it gets by exchanges.
#pragma once

#include <bit>
#include <cstdint>
#include <type_traits>

#include "tests/support/cuda_emulation/cuda_bf16.h"
#include "tests/support/cuda_emulation/emulation.h"

namespace nvcuda::wmma {

struct matrix_a {};
struct matrix_b {};
struct accumulator {};
struct row_major {};
struct col_major {};
enum layout_t { mem_row_major, mem_col_major };

template <class Use, int kM, int kN, int kK, class T, class Order = void>
struct fragment {
  static_assert(kM == 16 && kN == 16 && kK == 16);
  static constexpr int num_elements = 8;
  float x[num_elements];
};

inline float as_float(__nv_bfloat16 v) {
  return std::bit_cast<float>(static_cast<std::uint32_t>(v.bits) << 16);
}

template <class F>
void fill_fragment(F& f, float value) {
  for (float& x : f.x) x = value;
}

template <class Use, class Order>
void load_matrix_sync(fragment<Use, 16, 16, 16, __nv_bfloat16, Order>& f, const __nv_bfloat16* p,
                      unsigned ld) {
  tovamill::emulation::exchange(0xffffffffu, 0, 0);  // the warp meets
  const unsigned lane = tovamill::emulation::lane();
  for (unsigned i = 0; i < 8; ++i) {
    const unsigned r = (lane * 8 + i) / 16, c = (lane * 8 + i) % 16;
    f.x[i] = as_float(std::is_same_v<Order, row_major> ? p[r * ld + c] : p[c * ld + r]);
  }
}

template <class F>
void store_matrix_sync(float* p, const F& f, unsigned ld, layout_t) {
  const unsigned lane = tovamill::emulation::lane();
  for (unsigned i = 0; i < 8; ++i) p[(lane * 8 + i) / 16 * ld + (lane * 8 + i) % 16] = f.x[i];
  tovamill::emulation::exchange(0xffffffffu, 0, 0);
}

// d = a b + c; a lane has half a row of d. Lanes show each other where their parts stand.
template <class D, class A, class B, class C>
void mma_sync(D& d, const A& a, const B& b, const C& c) {
  constexpr std::uint32_t kAll = 0xffffffffu;
  std::uint64_t left[32], right[32];
  tovamill::emulation::exchange_all(kAll, reinterpret_cast<std::uint64_t>(a.x), left);
  tovamill::emulation::exchange_all(kAll, reinterpret_cast<std::uint64_t>(b.x), right);
  const auto element = [](const std::uint64_t(&lanes)[32], unsigned r, unsigned col) {
    return reinterpret_cast<const float*>(lanes[(r * 16 + col) / 8])[(r * 16 + col) % 8];
  };
  const unsigned lane = tovamill::emulation::lane();
  float sums[8];
  for (unsigned i = 0; i < 8; ++i) {
    const unsigned r = (lane * 8 + i) / 16, col = (lane * 8 + i) % 16;
    sums[i] = c.x[i];
    for (unsigned k = 0; k < 16; ++k) sums[i] += element(left, r, k) * element(right, k, col);
  }
  tovamill::emulation::exchange(kAll, 0, 0);  // all have read
  for (unsigned i = 0; i < 8; ++i) d.x[i] = sums[i];
}

}  // namespace nvcuda::wmma
