// Operands of GEMMs that are tried, and whether two results differ (row_gemm.cc).
//
// Mapping: a thread takes every n-th number. Bytes: each is written, or read, once.
#include <algorithm>

#include "kernels/cuda/device/warp.h"
#include "kernels/cuda/gemm/elementwise.h"

namespace tovamill::cuda {
namespace {

constexpr unsigned kThreads = 256;

template <class T>
__global__ void random_kernel(T* to, std::int64_t n, std::uint32_t seed) {
  for (std::int64_t i = static_cast<std::int64_t>(blockIdx.x) * blockDim.x + threadIdx.x; i < n;
       i += static_cast<std::int64_t>(gridDim.x) * blockDim.x) {
    auto h = static_cast<std::uint32_t>(i * 2654435761 + seed * 40503);
    h = (h ^ h >> 16) * 0x45d9f3bu;
    h = (h ^ h >> 16) * 0x45d9f3bu;
    to[i] = from_float<T>(static_cast<float>(h >> 8) / 8388608.0f - 1.0f);
  }
}

__global__ void difference_kernel(const std::uint16_t* a, const std::uint16_t* b, std::int64_t n,
                                  std::uint32_t* differs) {
  for (std::int64_t i = static_cast<std::int64_t>(blockIdx.x) * blockDim.x + threadIdx.x; i < n;
       i += static_cast<std::int64_t>(gridDim.x) * blockDim.x) {
    if (a[i] != b[i]) *differs = 1;
  }
}

// 16 numbers a thread, or more where there are more than fill a GPU.
Grid numbers_of(std::int64_t n) {
  constexpr std::int64_t kBlock = std::int64_t{16} * kThreads, kMaxBlocks = 4096;
  return {.blocks = dim3(static_cast<unsigned>(std::min((n + kBlock - 1) / kBlock, kMaxBlocks))),
          .threads = dim3(kThreads)};
}

}  // namespace

void fill_random(void* to, std::int64_t n, bool is_bf16, std::uint32_t seed, const Stream& stream) {
  if (is_bf16)
    return launch(random_kernel<Bf16>, "fill_random", numbers_of(n), stream, static_cast<Bf16*>(to),
                  n, seed);
  launch(random_kernel<float>, "fill_random", numbers_of(n), stream, static_cast<float*>(to), n,
         seed);
}

void find_difference(const void* a, const void* b, std::size_t n_bytes, std::uint32_t* differs,
                     const Stream& stream) {
  const auto n = static_cast<std::int64_t>(n_bytes / 2);
  launch(difference_kernel, "find_difference", numbers_of(n), stream,
         static_cast<const std::uint16_t*>(a), static_cast<const std::uint16_t*>(b), n, differs);
}

}  // namespace tovamill::cuda
