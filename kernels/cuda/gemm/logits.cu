// What becomes of logits: the negative log-likelihood of a target,
//   nll = log sum_i exp(x_i - max x) + max x - x_target,
// and the argmax.
//
// Mapping: a thread block takes a row. Bytes of r rows: the logits, 4 * r * vocab, once for the
// argmax, twice for the likelihood (the second time from the cache).
#include "kernels/cuda/device/warp.h"
#include "kernels/cuda/gemm/elementwise.h"

namespace tovamill::cuda {
namespace {

constexpr unsigned kThreads = 256;

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

// ids[row] = the first of the highest logits of the row; NaN is never one.
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

Grid rows_of(std::int32_t n_rows) {
  return {.blocks = dim3(static_cast<unsigned>(n_rows)), .threads = dim3(kThreads)};
}

}  // namespace

void nll_rows(const float* logits, const std::int32_t* targets, std::int32_t n, float* nll,
              std::int32_t n_rows, const Stream& stream) {
  launch(n % 4 == 0 ? nll_kernel<4> : nll_kernel<1>, "nll", rows_of(n_rows), stream, logits,
         targets, n, nll);
}

void argmax_rows(const float* logits, std::int32_t n, std::int32_t* ids, std::int32_t n_rows,
                 const Stream& stream) {
  launch(argmax_kernel, "argmax", rows_of(n_rows), stream, logits, n, ids);
}

void check_code() {
  cudaFuncAttributes attributes{};
  TOVAMILL_CUDA(cudaFuncGetAttributes(&attributes, nll_kernel<1>));
}

}  // namespace tovamill::cuda
