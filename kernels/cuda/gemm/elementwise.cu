// Row operations, a thread block a row: each reads and writes its rows once and is bound by their
// bytes. For a step of r rows, in each layer: norms 2 * r * hidden * (4 + element), gate
// r * intermediate * (8 + element), a bias 8 * r * n. Once a step: the embedding
// r * hidden * (element + 4), gathering 2 * r * hidden * element. What is done with logits stands
// in logits.cu, norms and rotation of queries and keys in attention_append.cu.
#include "kernels/cuda/device/warp.h"
#include "kernels/cuda/gemm/elementwise.h"
#include "kernels/types/model_limits.h"

namespace tovamill::cuda {
namespace {

constexpr unsigned kThreads = 256;
// gate_rows has a block along y for so many elements; a grid has at most 65,535 of these.
static_assert(kMaxIntermediateSize / static_cast<std::int32_t>(kThreads) <= 65'535);

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

template <class T>
__global__ void gather_kernel(const T* x, const std::int32_t* rows, std::int32_t n, T* out) {
  const std::int64_t row = blockIdx.x, from = rows[row];
  for (auto i = static_cast<std::int32_t>(threadIdx.x); i < n;
       i += static_cast<std::int32_t>(blockDim.x))
    out[row * n + i] = x[from * n + i];
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

template <class T>
void gather_rows(const T* x, const std::int32_t* rows, std::int32_t n, T* out, std::int32_t n_rows,
                 const Stream& stream) {
  launch(gather_kernel<T>, "gather", rows_of(n_rows), stream, x, rows, n, out);
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
