// What GEMMs of our own are made of: a (64, 64) tile of sums, bf16 on the tensor cores with
// float32 sums, float32 by fused multiply-adds, and parts of rows on their way into shared memory.
// Device code of attention_scores.cu, attention_weighted_sum.cu and expert_gemm.cu.
#pragma once

#include <cuda_bf16.h>
#include <mma.h>

#include <cstdint>
#include <type_traits>

#include "kernels/cuda/device/warp.h"

namespace tovamill::cuda::gemm_tile {

namespace wmma = nvcuda::wmma;

inline constexpr int kRows = 64;   // of a block: queries
inline constexpr int kCols = 64;   // of an iteration of its loop: slots
inline constexpr int kDepth = 64;  // of a part of the head
inline constexpr int kThreads = 128, kWarps = kThreads / kLanes;

__device__ inline const __nv_bfloat16* as_cuda(const Bf16* p) {
  return reinterpret_cast<const __nv_bfloat16*>(p);
}

// A (64, 64) tile of sums, spread over a block's threads.
template <class T>
class Sums;

template <>
class Sums<float> {
 public:
  static constexpr int kPad = 1;  // of a shared row, against bank conflicts
  __device__ void clear() {
    for (int r = 0; r < 8; ++r)
      for (int c = 0; c < 4; ++c) sums_[r][c] = 0.0f;
  }
  // += a (64, depth) times b: (64, depth) transposed, or (depth, 64).
  template <bool kTransposed>
  __device__ void add(const float* a, int lda, const float* b, int ldb, int depth) {
    for (int k = 0; k < depth; ++k) {
      float x[8], y[4];
#pragma unroll
      for (int r = 0; r < 8; ++r) x[r] = a[(row() + r) * lda + k];
#pragma unroll
      for (int c = 0; c < 4; ++c)
        y[c] = kTransposed ? b[(col() + c) * ldb + k] : b[k * ldb + col() + c];
#pragma unroll
      for (int r = 0; r < 8; ++r)
#pragma unroll
        for (int c = 0; c < 4; ++c) sums_[r][c] = fmaf(x[r], y[c], sums_[r][c]);
    }
  }
  __device__ void scale(float factor) {
    for (int r = 0; r < 8; ++r)
      for (int c = 0; c < 4; ++c) sums_[r][c] *= factor;
  }
  // cap tanh(x / cap) of each.
  __device__ void limit(float cap) {
    for (int r = 0; r < 8; ++r)
      for (int c = 0; c < 4; ++c) sums_[r][c] = cap * tanhf(sums_[r][c] / cap);
  }
  __device__ void store(float* to, std::int64_t ld) const {
    for (int r = 0; r < 8; ++r)
      for (int c = 0; c < 4; ++c) to[(row() + r) * ld + col() + c] = sums_[r][c];
  }

 private:
  __device__ static int row() { return static_cast<int>(threadIdx.x) / 16 * 8; }
  __device__ static int col() { return static_cast<int>(threadIdx.x) % 16 * 4; }
  float sums_[8][4];
};

template <>
class Sums<Bf16> {
 public:
  static constexpr int kPad = 8;
  __device__ void clear() {
    for (int r = 0; r < 2; ++r)
      for (int c = 0; c < 2; ++c) wmma::fill_fragment(sums_[r][c], 0.0f);
  }
  template <bool kTransposed>
  __device__ void add(const Bf16* a, int lda, const Bf16* b, int ldb, int depth) {
    using Order = std::conditional_t<kTransposed, wmma::col_major, wmma::row_major>;
    for (int k = 0; k < depth; k += 16) {
      wmma::fragment<wmma::matrix_a, 16, 16, 16, __nv_bfloat16, wmma::row_major> left[2];
      wmma::fragment<wmma::matrix_b, 16, 16, 16, __nv_bfloat16, Order> right[2];
      for (int i = 0; i < 2; ++i) {
        wmma::load_matrix_sync(left[i], as_cuda(a + (row() + 16 * i) * lda + k),
                               static_cast<unsigned>(lda));
        const Bf16* at =
            kTransposed ? b + (col() + 16 * i) * ldb + k : b + k * ldb + col() + 16 * i;
        wmma::load_matrix_sync(right[i], as_cuda(at), static_cast<unsigned>(ldb));
      }
      for (int r = 0; r < 2; ++r)
        for (int c = 0; c < 2; ++c) wmma::mma_sync(sums_[r][c], left[r], right[c], sums_[r][c]);
    }
  }
  __device__ void scale(float factor) {
    for (int r = 0; r < 2; ++r)
      for (int c = 0; c < 2; ++c)
        for (int i = 0; i < sums_[r][c].num_elements; ++i) sums_[r][c].x[i] *= factor;
  }
  __device__ void limit(float cap) {
    for (int r = 0; r < 2; ++r)
      for (int c = 0; c < 2; ++c)
        for (int i = 0; i < sums_[r][c].num_elements; ++i)
          sums_[r][c].x[i] = cap * tanhf(sums_[r][c].x[i] / cap);
  }
  __device__ void store(float* to, std::int64_t ld) const {
    for (int r = 0; r < 2; ++r)
      for (int c = 0; c < 2; ++c)
        wmma::store_matrix_sync(to + (row() + 16 * r) * ld + col() + 16 * c, sums_[r][c],
                                static_cast<unsigned>(ld), wmma::mem_row_major);
  }

 private:
  __device__ static int row() { return static_cast<int>(threadIdx.x) / 64 * 32; }
  __device__ static int col() { return static_cast<int>(threadIdx.x) / 32 % 2 * 32; }
  wmma::fragment<wmma::accumulator, 16, 16, 16, float> sums_[2][2];
};

// 16 bytes that go from memory to shared memory by themselves, zeros where they do not exist; they
// are there once wait_for_copies is through and the block has met.
__device__ inline void copy_16_bytes(void* to, const void* from, bool exists) {
#if defined(__CUDA_ARCH__)
  asm volatile("cp.async.cg.shared.global [%0], [%1], 16, %2;" ::"r"(
                   static_cast<unsigned>(__cvta_generic_to_shared(to))),
               "l"(from), "r"(exists ? 16 : 0)
               : "memory");
#else
  const Pack<float, 4> none{};
  write_pack(static_cast<float*>(to),
             exists ? read_pack<float, 4>(static_cast<const float*>(from)) : none);
#endif
}
__device__ inline void wait_for_copies() {
#if defined(__CUDA_ARCH__)
  asm volatile("cp.async.wait_all;" ::: "memory");
#endif
}

// A (64, kDepth) part of wider rows on its way into shared memory: columns [first, first + kDepth)
// of rows [0, n_rows), zero beyond them and beyond `n_cols`. A thread has some packs of kWidth
// elements, which rows consist of. `row_at` says where a row stands.
template <class T, int kWidth>
class Part {
 public:
  template <class RowAt>
  __device__ void read(const RowAt& row_at, int n_rows, int first, int n_cols) {
    const bool exists = first + column() < n_cols;
#pragma unroll
    for (int p = 0; p < kPacks; ++p) {
      packs_[p] = {};
      if (exists && row(p) < n_rows)
        packs_[p] = read_pack<T, kWidth>(row_at(row(p)) + first + column());
    }
  }
  // The same at once, where packs are of 16 bytes in shared memory, too.
  static constexpr bool kCopies = kWidth == kWide<T> && Sums<T>::kPad % kWidth == 0;
  template <class RowAt>
  __device__ static void copy(const RowAt& row_at, int n_rows, int first, int n_cols, T* to,
                              int to_ld) {
    const bool exists = first + column() < n_cols;
    to += row(0) * to_ld + column();
#pragma unroll 1  // else all addresses are kept in registers
    for (int p = 0; p < kPacks; ++p, to += (row(1) - row(0)) * to_ld) {
      const bool is_there = exists && row(p) < n_rows;
      copy_16_bytes(to, is_there ? row_at(row(p)) + first + column() : row_at(0), is_there);
    }
  }
  __device__ void write(T* to, int ld) const {
    to += row(0) * ld + column();
#pragma unroll
    for (int p = 0; p < kPacks; ++p, to += (row(1) - row(0)) * ld) {
      if constexpr (Sums<T>::kPad % kWidth == 0) {
        write_pack(to, packs_[p]);
      } else {
#pragma unroll
        for (int e = 0; e < kWidth; ++e) to[e] = packs_[p].at[e];
      }
    }
  }

 private:
  static constexpr int kRowPacks = kDepth / kWidth, kPacks = kRows * kRowPacks / kThreads;
  __device__ static int row(int p) {
    return static_cast<int>(threadIdx.x) / kRowPacks + p * (kThreads / kRowPacks);
  }
  __device__ static int column() { return static_cast<int>(threadIdx.x) % kRowPacks * kWidth; }
  Pack<T, kWidth> packs_[kPacks];
};

__host__ __device__ constexpr int parts_of(int head_dim) {
  return (head_dim + kDepth - 1) / kDepth;
}

}  // namespace tovamill::cuda::gemm_tile
