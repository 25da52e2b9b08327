// Kernels that rates are measured with: random operands, and reading memory. Mapping: a thread
// takes every n-th element, or every n-th 16 bytes.
#include "kernels/cuda/gemm/measure.h"

namespace tovamill::cuda {
namespace {

constexpr unsigned kThreads = 256;
constexpr unsigned kBlocks = kReaders / kThreads;

// The 32-bit finaliser of MurmurHash3.
__device__ inline std::uint32_t mixed(std::uint32_t x) {
  x = (x ^ (x >> 16)) * 0x85ebca6bu;
  x = (x ^ (x >> 13)) * 0xc2b2ae35u;
  return x ^ (x >> 16);
}

// Writes n elements.
template <class T>
__global__ void noise_kernel(T* out, std::int64_t n) {
  const std::int64_t by = static_cast<std::int64_t>(gridDim.x) * blockDim.x;
  for (std::int64_t i = static_cast<std::int64_t>(blockIdx.x) * blockDim.x + threadIdx.x; i < n;
       i += by) {
    const std::uint32_t x = mixed(static_cast<std::uint32_t>(i) * 0x9e3779b9u + 1u);
    const std::uint32_t pairs = (x & 0x00ff00ffu) + ((x >> 8) & 0x00ff00ffu);
    const auto sum = static_cast<float>((pairs & 0xffffu) + (pairs >> 16));
    out[i] = from_float<T>((sum - 510.0f) * (0.02f / 147.8f));
  }
}

// Reads 16 n bytes; writes a word a thread, so that nothing is left out.
__global__ void read_kernel(const uint4* data, std::int64_t n, std::uint32_t* out) {
  const std::int64_t thread = static_cast<std::int64_t>(blockIdx.x) * blockDim.x + threadIdx.x,
                     by = static_cast<std::int64_t>(gridDim.x) * blockDim.x;
  std::uint32_t all = 0;
#pragma unroll 8
  for (std::int64_t i = thread; i < n; i += by) {
    const uint4 v = data[i];
    all ^= v.x ^ v.y ^ v.z ^ v.w;
  }
  out[thread] = all;
}

template <class T>
void fill(T* out, std::size_t n, const Stream& stream) {
  launch(noise_kernel<T>, "noise", {.blocks = dim3(kBlocks), .threads = dim3(kThreads)}, stream,
         out, static_cast<std::int64_t>(n));
}

}  // namespace

void fill_with_noise(Bf16* out, std::size_t n, const Stream& stream) { fill(out, n, stream); }
void fill_with_noise(float* out, std::size_t n, const Stream& stream) { fill(out, n, stream); }

void read_all(const void* data, std::size_t n_bytes, std::uint32_t* out, const Stream& stream) {
  launch(read_kernel, "read", {.blocks = dim3(kBlocks), .threads = dim3(kThreads)}, stream,
         static_cast<const uint4*>(data), static_cast<std::int64_t>(n_bytes / sizeof(uint4)), out);
}

}  // namespace tovamill::cuda
