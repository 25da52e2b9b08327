// A thread block takes a tile of an expert's rows by 64 columns, and has the next part of both on
// its way from memory while it multiplies (gemm_tile.h).
#include "kernels/cuda/experts/expert_gemm.h"
#include "kernels/cuda/gemm/gemm_tile.h"

namespace tovamill::cuda {
namespace {

using namespace gemm_tile;
static_assert(kExpertTile == kRows);

template <class T>
constexpr int kPartLd = kDepth + Sums<T>::kPad;
constexpr int kSumLd = kCols + 4;

template <class T>
constexpr std::size_t kSharedBytes = sizeof(T) * (kRows + kCols) * kPartLd<T> >
                                             sizeof(float) * kRows* kSumLd
                                         ? sizeof(T) * (kRows + kCols) * kPartLd<T>
                                         : sizeof(float) * kRows* kSumLd;

// Grid: columns of n_out, tiles.
template <class T, class Out, int kWidth>
__global__ void __launch_bounds__(kThreads) expert_kernel(ExpertGemm<T> a, Out* out) {
  TOVAMILL_DYNAMIC_SHARED(shared_bytes);
  T* left = reinterpret_cast<T*>(shared_bytes);  // (kRows, kPartLd), a part of rows
  T* right = left + kRows * kPartLd<T>;          // (kCols, kPartLd), a part of weights
  const ExpertTile tile = a.tiles[blockIdx.y];
  if (tile.n_rows == 0) return;
  const auto first_col = static_cast<std::int32_t>(blockIdx.x) * kCols;
  const std::int32_t n_cols = min(kCols, a.n_out - first_col);
  const T* weights =
      a.weights + (static_cast<std::int64_t>(tile.expert) * a.n_out + first_col) * a.n_in;
  const auto row_at = [&](int r) {
    const std::int64_t place = tile.first + r;
    return a.x + (a.rows == nullptr ? place : a.rows[place]) * a.n_in;
  };
  const auto weight_at = [&](int c) { return weights + static_cast<std::int64_t>(c) * a.n_in; };
  Part<T, kWidth> rows, columns;
  Sums<T> sums;
  sums.clear();
  rows.read(row_at, tile.n_rows, 0, a.n_in);
  columns.read(weight_at, n_cols, 0, a.n_in);
  for (std::int32_t k = 0; k < a.n_in; k += kDepth) {
    __syncthreads();
    rows.write(left, kPartLd<T>);
    columns.write(right, kPartLd<T>);
    __syncthreads();
    if (k + kDepth < a.n_in) {
      rows.read(row_at, tile.n_rows, k + kDepth, a.n_in);
      columns.read(weight_at, n_cols, k + kDepth, a.n_in);
    }
    sums.template add<true>(left, kPartLd<T>, right, kPartLd<T>, kDepth);
  }
  __syncthreads();
  auto* tile_sums = reinterpret_cast<float*>(shared_bytes);  // (kRows, kSumLd)
  sums.store(tile_sums, kSumLd);
  __syncthreads();
  const float* bias =
      a.bias == nullptr ? nullptr : a.bias + static_cast<std::int64_t>(tile.expert) * a.n_out;
  for (auto i = static_cast<std::int32_t>(threadIdx.x); i < tile.n_rows * kCols; i += kThreads) {
    const std::int32_t r = i / kCols, c = i % kCols;
    if (c >= n_cols) continue;
    const float sum = tile_sums[r * kSumLd + c] + (bias == nullptr ? 0.0f : bias[first_col + c]);
    out[static_cast<std::int64_t>(tile.first + r) * a.n_out + first_col + c] = from_float<Out>(sum);
  }
}

}  // namespace

template <class T, class Out>
void multiply_experts(const ExpertGemm<T>& a, Out* out, std::int32_t n_tiles,
                      const Stream& stream) {
  launch(a.n_in % kWide<T> == 0 ? expert_kernel<T, Out, kWide<T>> : expert_kernel<T, Out, 1>,
         "multiply_experts",
         {.blocks = dim3(static_cast<unsigned>((a.n_out + kCols - 1) / kCols),
                         static_cast<unsigned>(n_tiles)),
          .threads = dim3(kThreads),
          .shared_bytes = kSharedBytes<T>},
         stream, a, out);
}

template void multiply_experts<float, float>(const ExpertGemm<float>&, float*, std::int32_t,
                                             const Stream&);
template void multiply_experts<Bf16, Bf16>(const ExpertGemm<Bf16>&, Bf16*, std::int32_t,
                                           const Stream&);
template void multiply_experts<Bf16, float>(const ExpertGemm<Bf16>&, float*, std::int32_t,
                                            const Stream&);

}  // namespace tovamill::cuda
