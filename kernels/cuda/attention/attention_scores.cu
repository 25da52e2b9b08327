// Scores of a tile's queries against the keys of its slots, AttentionShape::score_of(q . k).
//
// Mapping: a thread block takes 64 queries of one head and four times kGemmTile slots, one
// kGemmTile at a time, and has the next keys on their way from memory meanwhile; on the tensor
// cores for bf16, by fused multiply-adds for float32. Each number is summed in the same order
// whatever else is in the step.
//
// A layer and tile of s queries and n slots, h heads of size d: 2 s n h d operations; scores are
// written once (4 s n h bytes); keys are read s / 64 times for each of their heads, from the L2
// cache.
#include "kernels/cuda/attention/attention_kernels.h"
#include "kernels/cuda/gemm/gemm_tile.h"

namespace tovamill::cuda {
namespace {

using namespace gemm_tile;

constexpr int kSlotTiles = 4;  // of a block
static_assert(kCols == kGemmTile);

// Grid: kSlotTiles times kCols slots, kRows queries, (tile, head).
template <class T, int kWidth>
__global__ void __launch_bounds__(kThreads, kWidth == 8 ? 4 : 3) score_kernel(ScoreArguments<T> a) {
  constexpr int kLd = kDepth + Sums<T>::kPad;
  TOVAMILL_DYNAMIC_SHARED(shared_bytes);
  const AttentionShape& shape = a.shape;
  const std::int32_t d = shape.head_dim, n_parts = parts_of(d),
                     left_ld = n_parts * kDepth + Sums<T>::kPad;
  T* left = reinterpret_cast<T*>(shared_bytes);  // (kRows, left_ld), the whole queries
  T* right = left + kRows * left_ld;             // (kCols, kLd), a part of keys
  const auto tile_index = static_cast<std::int32_t>(blockIdx.z) / shape.n_heads,
             head = static_cast<std::int32_t>(blockIdx.z) % shape.n_heads;
  const TileInfo& tile = a.tiles[tile_index];
  const auto first_query = static_cast<std::int32_t>(blockIdx.y) * kRows,
             first_slot = static_cast<std::int32_t>(blockIdx.x) * kSlotTiles * kCols;
  const std::int32_t n_queries = min(kRows, tile.n_queries - first_query),
                     end = min(first_slot + kSlotTiles * kCols,
                               tile.n_state + first_query + n_queries);
  if (n_queries <= 0 || first_slot >= end) return;
  const LayerView layer(tile.state, a.layout, tile.capacity, a.layer);
  const T* queries = a.queries +
                     static_cast<std::int64_t>(tile.first_row + first_query) * shape.q_size() +
                     head * d;
  const TileRows<T> keys(layer, tile, tile_index, head / shape.heads_per_kv, HeadArray::rotated,
                         a.scratch.appended);
  const std::int32_t n_slots = tile.n_slots();
  float* scores =
      a.scratch.scores + a.scratch.row(tile_index, head, first_query, shape.n_heads) * a.scratch.ld;
  Part<T, kWidth> part;
  for (std::int32_t k = 0; k < n_parts; ++k) {
    part.read([&](int r) { return queries + static_cast<std::int64_t>(r) * shape.q_size(); },
              n_queries, k * kDepth, d);
    part.write(left + k * kDepth, left_ld);
  }
  const auto read_keys = [&](std::int32_t slot, std::int32_t k) {
    part.read([&](int r) { return keys.at(slot + r); }, min(kCols, n_slots - slot), k * kDepth, d);
  };
  read_keys(first_slot, 0);
  Sums<T> sums;
  for (std::int32_t slot = first_slot; slot < end; slot += kCols) {
    sums.clear();
    for (std::int32_t k = 0; k < n_parts; ++k) {
      __syncthreads();
      part.write(right, kLd);
      __syncthreads();
      if (k + 1 < n_parts) {
        read_keys(slot, k + 1);
      } else if (slot + kCols < end) {
        read_keys(slot + kCols, 0);
      }
      sums.template add<true>(left + k * kDepth, left_ld, right, kLd, kDepth);
    }
    sums.scale(shape.scale);
    if (shape.score_cap > 0.0f) sums.limit(shape.score_cap);
    sums.store(scores + slot, a.scratch.ld);
  }
}

// Elements of a row of queries, whole parts of kDepth, and of a row of a part of the keys.
template <class T>
int query_ld(std::int32_t head_dim) {
  return parts_of(head_dim) * kDepth + Sums<T>::kPad;
}
template <class T>
constexpr int kKeyLd = kDepth + Sums<T>::kPad;

}  // namespace

template <class T>
std::size_t score_shared_bytes(std::int32_t head_dim) {
  return static_cast<std::size_t>(kRows * query_ld<T>(head_dim) + kCols * kKeyLd<T>) * sizeof(T);
}
template std::size_t score_shared_bytes<float>(std::int32_t);
template std::size_t score_shared_bytes<Bf16>(std::int32_t);

// Rows are read in 16 bytes, where heads are of so many, else in two elements.
template <class T>
void score_tiles(const ScoreArguments<T>& a, std::int32_t n_tiles, std::int32_t max_slots,
                 std::int32_t max_queries, const Stream& stream) {
  constexpr std::int32_t kSlots = kSlotTiles * kCols;
  launch(a.shape.head_dim % kWide<T> == 0 ? score_kernel<T, kWide<T>> : score_kernel<T, 2>,
         "scores",
         {.blocks = dim3(static_cast<unsigned>((max_slots + kSlots - 1) / kSlots),
                         static_cast<unsigned>((max_queries + kRows - 1) / kRows),
                         static_cast<unsigned>(n_tiles * a.shape.n_heads)),
          .threads = dim3(kThreads),
          .shared_bytes = score_shared_bytes<T>(a.shape.head_dim)},
         stream, a);
}

template void score_tiles<float>(const ScoreArguments<float>&, std::int32_t, std::int32_t,
                                 std::int32_t, const Stream&);
template void score_tiles<Bf16>(const ScoreArguments<Bf16>&, std::int32_t, std::int32_t,
                                std::int32_t, const Stream&);

}  // namespace tovamill::cuda
