// Row operations, a thread block a row: each reads and writes its rows once and is bound by their
// bytes. For a step of r rows, in each layer: norms 2 * r * hidden * (4 + element), gate
// r * intermediate * (8 + element), a bias 8 * r * n. Once a step: the embedding
// r * hidden * (element + 4), gathering 2 * r * hidden * element. What is done with logits stands
// in logits.cu, norms and rotation of queries and keys in attention_append.cu.
#include <type_traits>

#include "kernels/cuda/device/warp.h"
#include "kernels/cuda/gemm/elementwise.h"
#include "kernels/types/model_limits.h"

namespace tovamill::cuda {
namespace {

constexpr unsigned kThreads = 256;
// gate_rows has a block along y for so many elements; a grid has at most 65,535 of these.
static_assert(kMaxIntermediateSize / static_cast<std::int32_t>(kThreads) <= 65'535);

template <class T>
__global__ void embed_kernel(const std::int32_t* ids, const T* table, std::int32_t n, float factor,
                             float* out) {
  const std::int64_t row = blockIdx.x;
  const T* from = table + static_cast<std::int64_t>(ids[row]) * n;
  for (auto i = static_cast<std::int32_t>(threadIdx.x); i < n;
       i += static_cast<std::int32_t>(blockDim.x))
    out[row * n + i] = to_float(from[i]) * factor;
}

// Sums over the block `f` of the row's elements.
template <int kWidth, class Term>
__device__ float sum_of_row(const float* x, std::int32_t n, float* shared, const Term& term) {
  const auto first = static_cast<std::int32_t>(threadIdx.x) * kWidth,
             by = static_cast<std::int32_t>(blockDim.x) * kWidth;
  float sum = 0.0f;
#pragma unroll 4
  for (std::int32_t i = first; i < n; i += by) {
    const auto v = read_pack<float, kWidth>(x + i);
#pragma unroll
    for (int e = 0; e < kWidth; ++e) sum += term(v.at[e]);
  }
  return block_sum(sum, shared);
}

template <class T, int kWidth>
__global__ void norm_kernel(NormArguments a, T* out) {
  __shared__ float shared[kThreads / kLanes];
  const std::int64_t row = blockIdx.x;
  const std::int32_t n = a.n;
  const auto first = static_cast<std::int32_t>(threadIdx.x) * kWidth,
             by = static_cast<std::int32_t>(blockDim.x) * kWidth;
  const float* x = a.x + row * n;
  float mean = 0.0f;
  if (a.kind == NormKind::layer) {
    mean = sum_of_row<kWidth>(x, n, shared, [](float v) { return v; }) / static_cast<float>(n);
    __syncthreads();  // before `shared` is written again
  }
  const float squares =
      sum_of_row<kWidth>(x, n, shared, [&](float v) { return (v - mean) * (v - mean); });
  const float factor = 1.0f / sqrtf(squares / static_cast<float>(n) + a.eps);
  for (std::int32_t i = first; i < n; i += by) {
    const auto v = read_pack<float, kWidth>(x + i), w = read_pack<float, kWidth>(a.weight + i);
    Pack<T, kWidth> scaled;
    Pack<float, kWidth> more{};
    if (a.bias != nullptr) more = read_pack<float, kWidth>(a.bias + i);
    if constexpr (std::is_same_v<T, float>) {
      if (a.adds) {
        const auto there = read_pack<float, kWidth>(out + row * n + i);
#pragma unroll
        for (int e = 0; e < kWidth; ++e) more.at[e] += there.at[e];
      }
    }
    const bool is_more = a.adds || a.bias != nullptr;
#pragma unroll
    for (int e = 0; e < kWidth; ++e) {
      const float y = (v.at[e] - mean) * factor * w.at[e];
      scaled.at[e] = from_float<T>(is_more ? y + more.at[e] : y);
    }
    write_pack(out + row * n + i, scaled);
  }
}

template <class T>
__global__ void convert_kernel(const float* x, std::int32_t n, T* out) {
  const std::int64_t row = blockIdx.x;
  for (auto i = static_cast<std::int32_t>(threadIdx.x); i < n;
       i += static_cast<std::int32_t>(blockDim.x))
    out[row * n + i] = from_float<T>(x[row * n + i]);
}

__global__ void cap_kernel(float* x, float cap, std::int32_t n) {
  const std::int64_t row = blockIdx.x;
  for (auto i = static_cast<std::int32_t>(threadIdx.x); i < n;
       i += static_cast<std::int32_t>(blockDim.x))
    x[row * n + i] = cap * tanhf(x[row * n + i] / cap);
}

__global__ void copy_columns_kernel(CopyArguments a) {
  const std::int64_t row = blockIdx.x;
  for (auto i = static_cast<std::int32_t>(threadIdx.x); i < a.n;
       i += static_cast<std::int32_t>(blockDim.x))
    a.to[row * a.n_to + i] = a.factor * a.from[row * a.n_from + i];
}

template <class T>
__global__ void multiply_columns_kernel(T* x, std::int32_t n, const float* by, std::int32_t n_by) {
  const std::int64_t row = blockIdx.x;
  for (auto i = static_cast<std::int32_t>(threadIdx.x); i < n;
       i += static_cast<std::int32_t>(blockDim.x))
    x[row * n + i] = from_float<T>(to_float(x[row * n + i]) * by[row * n_by + i]);
}

template <Activation kActivation>
__device__ float activated(float x, const Xielu& a) {
  if constexpr (kActivation == Activation::silu) {
    return x / (1.0f + expf(-x));
  } else if constexpr (kActivation == Activation::gelu) {
    return 0.5f * x * erfcf(-x * 0.70710678f);
  } else if constexpr (kActivation == Activation::gelu_tanh) {
    return 0.5f * x * (1.0f + tanhf(0.79788456f * (x + 0.044715f * x * x * x)));
  } else if constexpr (kActivation == Activation::relu2) {
    return x < 0.0f ? 0.0f : x * x;
  } else {
    const float below = expm1f(fminf(x, a.eps)) - x;
    return (x > 0.0f ? x * x * a.alpha_p : below * a.alpha_n) + x * a.beta;
  }
}

// activation(gate) * up; comparisons that keep a NaN.
template <Activation kActivation>
__device__ float gated(float gate, float up, const Xielu& xielu) {
  if constexpr (kActivation == Activation::clamped_swiglu) {
    const float g = gate > kSwigluLimit ? kSwigluLimit : gate,
                u = up > kSwigluLimit ? kSwigluLimit : up;
    return g / (1.0f + expf(-g * kSwigluSlope)) * ((u < -kSwigluLimit ? -kSwigluLimit : u) + 1.0f);
  } else {
    return activated<kActivation>(gate, xielu) * up;
  }
}

// A thread takes kWidth elements.
template <class T, int kWidth, Activation kActivation>
__global__ void gate_kernel(const T* in, GateArguments a, T* out) {
  const std::int64_t row = blockIdx.x;
  const std::int32_t n = a.n, n_in = a.is_gated ? 2 * n : n;
  const auto i = static_cast<std::int32_t>(threadIdx.x + blockIdx.y * blockDim.x) * kWidth;
  if (i >= n) return;
  const auto gate = read_pack<T, kWidth>(in + row * n_in + i);
  Pack<T, kWidth> up{}, products;
  if (a.is_gated) up = read_pack<T, kWidth>(in + row * n_in + n + i);
#pragma unroll
  for (int e = 0; e < kWidth; ++e) {
    float g = to_float(gate.at[e]), u = to_float(up.at[e]);
    if (a.bias != nullptr) {
      g += a.bias[i + e];
      if (a.is_gated) u += a.bias[n + i + e];
    }
    products.at[e] = from_float<T>(a.is_gated ? gated<kActivation>(g, u, a.xielu)
                                              : activated<kActivation>(g, a.xielu));
  }
  write_pack(out + row * n + i, products);
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
void embed_rows(const std::int32_t* ids, const T* table, std::int32_t n, float factor, float* out,
                std::int32_t n_rows, const Stream& stream) {
  launch(embed_kernel<T>, "embed", rows_of(n_rows), stream, ids, table, n, factor, out);
}

template <class T>
void norm_rows(const NormArguments& a, T* out, std::int32_t n_rows, const Stream& stream) {
  launch(a.n % 4 == 0 ? norm_kernel<T, 4> : norm_kernel<T, 1>, "norm", rows_of(n_rows), stream, a,
         out);
}

template <class T>
void convert_rows(const float* x, std::int32_t n, T* out, std::int32_t n_rows,
                  const Stream& stream) {
  launch(convert_kernel<T>, "convert", rows_of(n_rows), stream, x, n, out);
}

void copy_columns_of_rows(const CopyArguments& a, std::int32_t n_rows, const Stream& stream) {
  launch(copy_columns_kernel, "copy_columns", rows_of(n_rows), stream, a);
}

template <class T>
void multiply_columns_of_rows(T* x, std::int32_t n, const float* by, std::int32_t n_by,
                              std::int32_t n_rows, const Stream& stream) {
  launch(multiply_columns_kernel<T>, "multiply_columns", rows_of(n_rows), stream, x, n, by, n_by);
}

void cap_rows(float* x, float cap, std::int32_t n, std::int32_t n_rows, const Stream& stream) {
  launch(cap_kernel, "cap", rows_of(n_rows), stream, x, cap, n);
}

template <class T, Activation kActivation>
void gate_rows_by(const T* in, const GateArguments& a, T* out, std::int32_t n_rows,
                  const Stream& stream) {
  const bool is_wide = a.n % kWide<T> == 0;
  const std::int32_t each = static_cast<std::int32_t>(kThreads) * (is_wide ? kWide<T> : 1);
  Grid grid = rows_of(n_rows);
  grid.blocks.y = static_cast<unsigned>((a.n + each - 1) / each);
  launch(is_wide ? gate_kernel<T, kWide<T>, kActivation> : gate_kernel<T, 1, kActivation>, "gate",
         grid, stream, in, a, out);
}

template <class T>
void gate_rows(const T* in, const GateArguments& a, T* out, std::int32_t n_rows,
               const Stream& stream) {
  switch (a.activation) {
    case Activation::silu:
      return gate_rows_by<T, Activation::silu>(in, a, out, n_rows, stream);
    case Activation::gelu:
      return gate_rows_by<T, Activation::gelu>(in, a, out, n_rows, stream);
    case Activation::gelu_tanh:
      return gate_rows_by<T, Activation::gelu_tanh>(in, a, out, n_rows, stream);
    case Activation::relu2:
      return gate_rows_by<T, Activation::relu2>(in, a, out, n_rows, stream);
    case Activation::clamped_swiglu:
      return gate_rows_by<T, Activation::clamped_swiglu>(in, a, out, n_rows, stream);
    case Activation::xielu:
      return gate_rows_by<T, Activation::xielu>(in, a, out, n_rows, stream);
  }
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

template void embed_rows<float>(const std::int32_t*, const float*, std::int32_t, float, float*,
                                std::int32_t, const Stream&);
template void embed_rows<Bf16>(const std::int32_t*, const Bf16*, std::int32_t, float, float*,
                               std::int32_t, const Stream&);
template void norm_rows<float>(const NormArguments&, float*, std::int32_t, const Stream&);
template void norm_rows<Bf16>(const NormArguments&, Bf16*, std::int32_t, const Stream&);
template void convert_rows<float>(const float*, std::int32_t, float*, std::int32_t, const Stream&);
template void convert_rows<Bf16>(const float*, std::int32_t, Bf16*, std::int32_t, const Stream&);
template void multiply_columns_of_rows<float>(float*, std::int32_t, const float*, std::int32_t,
                                              std::int32_t, const Stream&);
template void multiply_columns_of_rows<Bf16>(Bf16*, std::int32_t, const float*, std::int32_t,
                                             std::int32_t, const Stream&);
template void gate_rows<float>(const float*, const GateArguments&, float*, std::int32_t,
                               const Stream&);
template void gate_rows<Bf16>(const Bf16*, const GateArguments&, Bf16*, std::int32_t,
                              const Stream&);
template void gather_rows<float>(const float*, const std::int32_t*, std::int32_t, float*,
                                 std::int32_t, const Stream&);
template void gather_rows<Bf16>(const Bf16*, const std::int32_t*, std::int32_t, Bf16*, std::int32_t,
                                const Stream&);

}  // namespace tovamill::cuda
