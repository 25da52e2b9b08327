// Scores of a tile's queries against its state. A thread block takes 64 queries of one head and
// four times kGemmTile columns, one kGemmTile at a time, and has the next ones on their way
// from memory meanwhile. Each number is summed in the same order whatever else is in the step.
//
// A layer and tile of s queries and n columns, h heads of size d: 2 s n h d operations; scores are
// written once (4 s n h bytes); keys are read s / 64 times for each of their heads, from the L2
// cache.
#include "kernels/cuda/attention/attention_kernels.h"
#include "kernels/cuda/attention/gemm_tile.h"

namespace tovamill::cuda {
namespace {

using namespace gemm_tile;

constexpr int kColumnTiles = 4;  // of a block

// Grid: kColumnTiles times 64 columns, queries, (tile, head).
template <class T, int kWidth>
__global__ void __launch_bounds__(kThreads, kWidth == 8 ? 4 : 3) score_kernel(ScoreArguments<T> a) {
  constexpr int kLd = kDepth + Sums<T>::kPad;
  TOVAMILL_DYNAMIC_SHARED(shared_bytes);
  const AttentionShape& shape = a.shape;
  const std::int32_t d = shape.head_dim, n_parts = parts_of(d),
                     left_ld = n_parts * kDepth + Sums<T>::kPad;
  T* left = reinterpret_cast<T*>(shared_bytes);  // (kRows, left_ld), the whole queries
  T* right = left + kRows * left_ld;             // (kCols, kLd), a part of keys
  const auto slot = static_cast<std::int32_t>(blockIdx.z) / shape.n_heads,
             head = static_cast<std::int32_t>(blockIdx.z) % shape.n_heads;
  const TileInfo& tile = a.tiles[slot];
  const auto first_step = static_cast<std::int32_t>(blockIdx.y) * kRows,
             first_column = static_cast<std::int32_t>(blockIdx.x) * kColumnTiles * kCols;
  const std::int32_t n_steps = min(kRows, tile.n_steps - first_step),
                     end = min(first_column + kColumnTiles * kCols,
                               tile.n_state + first_step + n_steps);
  if (n_steps <= 0 || first_column >= end) return;
  const LayerView layer(tile.state, a.layout, tile.capacity, a.layer);
  const T* queries = a.queries +
                     static_cast<std::int64_t>(tile.first_row + first_step) * shape.q_size() +
                     head * d;
  const TileRows<T> keys(layer, tile, slot, head / shape.per_kv, HeadArray::rotated,
                         a.scratch.joining);
  const std::int32_t n_columns = tile.n_columns();
  float* scores = a.scratch.scores + a.scratch.score_row(slot, head, first_step, shape.n_heads);
  Part<T, kWidth> part;
  for (std::int32_t k = 0; k < n_parts; ++k) {
    part.read([&](int r) { return queries + static_cast<std::int64_t>(r) * shape.q_size(); },
              n_steps, k * kDepth, d);
    part.write(left + k * kDepth, left_ld);
  }
  const auto read_keys = [&](std::int32_t column, std::int32_t k) {
    part.read([&](int r) { return keys.at(column + r); }, min(kCols, n_columns - column),
              k * kDepth, d);
  };
  read_keys(first_column, 0);
  Sums<T> sums;
  for (std::int32_t column = first_column; column < end; column += kCols) {
    sums.clear();
    for (std::int32_t k = 0; k < n_parts; ++k) {
      __syncthreads();
      part.write(right, kLd);
      __syncthreads();
      if (k + 1 < n_parts) {
        read_keys(column, k + 1);
      } else if (column + kCols < end) {
        read_keys(column + kCols, 0);
      }
      sums.template add<true>(left + k * kDepth, left_ld, right, kLd, kDepth);
    }
    sums.scale(shape.scale);
    sums.store(scores + column, a.scratch.ld);
  }
}

}  // namespace

// Rows are read in 16 bytes, where heads are of so many, else in two elements.
template <class T>
void score_tiles(const ScoreArguments<T>& a, std::int32_t n_tiles, std::int32_t max_columns,
                 std::int32_t max_steps, const Stream& stream) {
  constexpr std::int32_t kColumns = kColumnTiles * kCols;
  const int left_ld = parts_of(a.shape.head_dim) * kDepth + Sums<T>::kPad,
            right_ld = kDepth + Sums<T>::kPad;
  launch(a.shape.head_dim % kWide<T> == 0 ? score_kernel<T, kWide<T>> : score_kernel<T, 2>,
         "scores",
         {.blocks = dim3(static_cast<unsigned>((max_columns + kColumns - 1) / kColumns),
                         static_cast<unsigned>((max_steps + kRows - 1) / kRows),
                         static_cast<unsigned>(n_tiles * a.shape.n_heads)),
          .threads = dim3(kThreads),
          .shared_bytes = static_cast<std::size_t>(kRows * left_ld + kCols * right_ld) * sizeof(T)},
         stream, a);
}

template void score_tiles<float>(const ScoreArguments<float>&, std::int32_t, std::int32_t,
                                 std::int32_t, const Stream&);
template void score_tiles<Bf16>(const ScoreArguments<Bf16>&, std::int32_t, std::int32_t,
                                std::int32_t, const Stream&);

}  // namespace tovamill::cuda
