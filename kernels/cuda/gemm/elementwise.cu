// Row operations, a thread block a row: each reads and writes its rows once and is bound by their
// bytes. For a step of r rows, in each layer: norms 2 * r * hidden * (4 + element), gate r *
// intermediate * (8 + element), a bias 8 * r * n. Once a step: the embedding r * hidden * (element
// + 4), likelihoods 4 * r * vocab twice (the second time from the cache), gathering 2 * r * hidden
// * element. Norms and rotation of queries and keys stand in attention_append.cu.
#include <algorithm>

#include "kernels/cuda/device/warp.h"
#include "kernels/cuda/gemm/elementwise.h"

namespace tovamill::cuda {
namespace {

constexpr unsigned kThreads = 256;

template <class T>
__global__ void embed_kernel(const std::int32_t* ids, const T* table, std::int32_t n, float* out) {
  const std::int64_t row = blockIdx.x;
  const T* from = table + static_cast<std::int64_t>(ids[row]) * n;
  for (auto i = static_cast<std::int32_t>(threadIdx.x); i < n;
       i += static_cast<std::int32_t>(blockDim.x))
    out[row * n + i] = to_float(from[i]);
}

template <class T, int kWidth>
__global__ void rms_norm_kernel(const float* x, const float* weight, std::int32_t n, float eps,
                                T* out) {
  __shared__ float shared[kThreads / kLanes];
  const std::int64_t row = blockIdx.x;
  const auto first = static_cast<std::int32_t>(threadIdx.x) * kWidth,
             by = static_cast<std::int32_t>(blockDim.x) * kWidth;
  float sum = 0.0f;
#pragma unroll 4
  for (std::int32_t i = first; i < n; i += by) {
    const auto v = read_pack<float, kWidth>(x + row * n + i);
#pragma unroll
    for (int e = 0; e < kWidth; ++e) sum += v.at[e] * v.at[e];
  }
  const float factor = 1.0f / sqrtf(block_sum(sum, shared) / static_cast<float>(n) + eps);
  for (std::int32_t i = first; i < n; i += by) {
    const auto v = read_pack<float, kWidth>(x + row * n + i),
               w = read_pack<float, kWidth>(weight + i);
    Pack<T, kWidth> scaled;
#pragma unroll
    for (int e = 0; e < kWidth; ++e) scaled.at[e] = from_float<T>(v.at[e] * factor * w.at[e]);
    write_pack(out + row * n + i, scaled);
  }
}

// A thread takes kWidth elements.
template <class T, int kWidth>
__global__ void gate_kernel(const T* gate_up, std::int32_t n, T* out) {
  const std::int64_t row = blockIdx.x;
  const auto i = static_cast<std::int32_t>(threadIdx.x + blockIdx.y * blockDim.x) * kWidth;
  if (i >= n) return;
  const auto gate = read_pack<T, kWidth>(gate_up + row * 2 * n + i),
             up = read_pack<T, kWidth>(gate_up + row * 2 * n + n + i);
  Pack<T, kWidth> gated;
#pragma unroll
  for (int e = 0; e < kWidth; ++e) {
    const float g = to_float(gate.at[e]);
    gated.at[e] = from_float<T>(g / (1.0f + expf(-g)) * to_float(up.at[e]));
  }
  write_pack(out + row * n + i, gated);
}

template <int kWidth>
__global__ void add_bias_kernel(float* x, const float* bias, std::int32_t n) {
  const std::int64_t row = blockIdx.x;
#pragma unroll 4
  for (auto i = static_cast<std::int32_t>(threadIdx.x) * kWidth; i < n;
       i += static_cast<std::int32_t>(blockDim.x) * kWidth) {
    auto v = read_pack<float, kWidth>(x + row * n + i);
    const auto b = read_pack<float, kWidth>(bias + i);
#pragma unroll
    for (int e = 0; e < kWidth; ++e) v.at[e] += b.at[e];
    write_pack(x + row * n + i, v);
  }
}

template <int kWidth>
__global__ void nll_kernel(const float* logits, const std::int32_t* targets, std::int32_t n,
                           float* nll) {
  __shared__ float shared[kThreads / kLanes];
  const std::int64_t row = blockIdx.x;
  const std::int32_t target = targets[row];
  if (target < 0) {
    if (threadIdx.x == 0) nll[row] = 0.0f;
    return;
  }
  const float* x = logits + row * n;
  const auto first = static_cast<std::int32_t>(threadIdx.x) * kWidth,
             by = static_cast<std::int32_t>(blockDim.x) * kWidth;
  float row_max = -INFINITY, sum = 0.0f;
#pragma unroll 4
  for (std::int32_t i = first; i < n; i += by) {
    const auto v = read_pack<float, kWidth>(x + i);
#pragma unroll
    for (int e = 0; e < kWidth; ++e)
      row_max = (v.at[e] > row_max || v.at[e] != v.at[e]) ? v.at[e] : row_max;
  }
  row_max = block_max(row_max, shared);
#pragma unroll 4
  for (std::int32_t i = first; i < n; i += by) {
    const auto v = read_pack<float, kWidth>(x + i);
#pragma unroll
    for (int e = 0; e < kWidth; ++e) sum += expf(v.at[e] - row_max);
  }
  sum = block_sum(sum, shared);
  if (threadIdx.x == 0) nll[row] = logf(sum) + (row_max - x[target]);
}

// Of each row the first of the highest logits; NaN is never one.
__global__ void argmax_kernel(const float* logits, std::int32_t n, std::int32_t* ids) {
  __shared__ float shared_best[kThreads / kLanes];
  __shared__ std::int32_t shared_id[kThreads / kLanes];
  const float* x = logits + static_cast<std::int64_t>(blockIdx.x) * n;
  const auto first = static_cast<std::int32_t>(threadIdx.x),
             by = static_cast<std::int32_t>(blockDim.x);
  float best = -INFINITY;
  std::int32_t id = n;
  const auto consider = [&](float value, std::int32_t candidate) {
    if (candidate < n && (value > best || (value == best && candidate < id))) {
      best = value;
      id = candidate;
    }
  };
  for (std::int32_t i = first; i < n; i += by) consider(x[i], i);
  for (int offset = kLanes / 2; offset > 0; offset /= 2) {
    const float value = __shfl_xor_sync(kAllLanes, best, offset);
    const std::int32_t candidate = __shfl_xor_sync(kAllLanes, id, offset);
    consider(value, candidate);
  }
  if (threadIdx.x % kLanes == 0) {
    shared_best[threadIdx.x / kLanes] = best;
    shared_id[threadIdx.x / kLanes] = id;
  }
  __syncthreads();
  if (threadIdx.x != 0) return;
  for (unsigned w = 1; w < blockDim.x / kLanes; ++w) consider(shared_best[w], shared_id[w]);
  ids[blockIdx.x] = id < n ? id : -1;
}

template <class T>
__global__ void gather_kernel(const T* x, const std::int32_t* rows, std::int32_t n, T* out) {
  const std::int64_t row = blockIdx.x, from = rows[row];
  for (auto i = static_cast<std::int32_t>(threadIdx.x); i < n;
       i += static_cast<std::int32_t>(blockDim.x))
    out[row * n + i] = x[from * n + i];
}

// Operands of GEMMs that are tried (row_gemm.cc).
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
  constexpr std::int64_t kBlock = std::int64_t{16} * kThreads, kMost = 4096;
  return {.blocks = dim3(static_cast<unsigned>(std::min((n + kBlock - 1) / kBlock, kMost))),
          .threads = dim3(kThreads)};
}

Grid rows_of(std::int32_t n_rows) {
  return {.blocks = dim3(static_cast<unsigned>(n_rows)), .threads = dim3(kThreads)};
}

}  // namespace

template <class T>
void embed_rows(const std::int32_t* ids, const T* table, std::int32_t n, float* out,
                std::int32_t n_rows, const Stream& stream) {
  launch(embed_kernel<T>, "embed", rows_of(n_rows), stream, ids, table, n, out);
}

template <class T>
void rms_norm_rows(const float* x, const float* weight, std::int32_t n, float eps, T* out,
                   std::int32_t n_rows, const Stream& stream) {
  launch(n % 4 == 0 ? rms_norm_kernel<T, 4> : rms_norm_kernel<T, 1>, "rms_norm", rows_of(n_rows),
         stream, x, weight, n, eps, out);
}

template <class T>
void gate_rows(const T* gate_up, std::int32_t n, T* out, std::int32_t n_rows,
               const Stream& stream) {
  const bool is_wide = n % kWide<T> == 0;
  const std::int32_t each = static_cast<std::int32_t>(kThreads) * (is_wide ? kWide<T> : 1);
  Grid grid = rows_of(n_rows);
  grid.blocks.y = static_cast<unsigned>((n + each - 1) / each);
  launch(is_wide ? gate_kernel<T, kWide<T>> : gate_kernel<T, 1>, "gate", grid, stream, gate_up, n,
         out);
}

void add_bias(float* x, const float* bias, std::int32_t n, std::int32_t n_rows,
              const Stream& stream) {
  launch(n % 4 == 0 ? add_bias_kernel<4> : add_bias_kernel<1>, "add_bias", rows_of(n_rows), stream,
         x, bias, n);
}

void nll_rows(const float* logits, const std::int32_t* targets, std::int32_t n, float* nll,
              std::int32_t n_rows, const Stream& stream) {
  launch(n % 4 == 0 ? nll_kernel<4> : nll_kernel<1>, "nll", rows_of(n_rows), stream, logits,
         targets, n, nll);
}

void argmax_rows(const float* logits, std::int32_t n, std::int32_t* ids, std::int32_t n_rows,
                 const Stream& stream) {
  launch(argmax_kernel, "argmax", rows_of(n_rows), stream, logits, n, ids);
}

template <class T>
void gather_rows(const T* x, const std::int32_t* rows, std::int32_t n, T* out, std::int32_t n_rows,
                 const Stream& stream) {
  launch(gather_kernel<T>, "gather", rows_of(n_rows), stream, x, rows, n, out);
}

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

void check_code() {
  cudaFuncAttributes attributes{};
  TOVAMILL_CUDA(cudaFuncGetAttributes(&attributes, nll_kernel<1>));
}

template void embed_rows<float>(const std::int32_t*, const float*, std::int32_t, float*,
                                std::int32_t, const Stream&);
template void embed_rows<Bf16>(const std::int32_t*, const Bf16*, std::int32_t, float*, std::int32_t,
                               const Stream&);
template void rms_norm_rows<float>(const float*, const float*, std::int32_t, float, float*,
                                   std::int32_t, const Stream&);
template void rms_norm_rows<Bf16>(const float*, const float*, std::int32_t, float, Bf16*,
                                  std::int32_t, const Stream&);
template void gate_rows<float>(const float*, std::int32_t, float*, std::int32_t, const Stream&);
template void gate_rows<Bf16>(const Bf16*, std::int32_t, Bf16*, std::int32_t, const Stream&);
template void gather_rows<float>(const float*, const std::int32_t*, std::int32_t, float*,
                                 std::int32_t, const Stream&);
template void gather_rows<Bf16>(const Bf16*, const std::int32_t*, std::int32_t, Bf16*, std::int32_t,
                                const Stream&);

}  // namespace tovamill::cuda
