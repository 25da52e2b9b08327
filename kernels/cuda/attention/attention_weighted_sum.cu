// The weighted sum of attention, out = softmax(scores of live slots) V, of each query and head.
//
// Mapping: a thread block takes 64 queries of one head and 64 or 128 elements of its values, and
// goes over the slots kGemmTile at a time: its warps turn 16 rows of scores each into
// exp(score - row_max), the block multiplies them by the values on the tensor cores (bf16) or by
// fused multiply-adds (float32), while the scores of the next slots are on their way from memory.
// The sums are divided by the rows' sums of exponentials at the end. Each number is summed in the
// same order whatever else is in the step.
//
// A layer and tile of s queries and n slots, h heads of size d: 2 s n h d operations; scores are
// read once (4 s n h bytes, twice for policies without a scan); values are read s / 64 times for
// each of their heads, from the L2 cache.
#include "kernels/cuda/attention/attention_kernels.h"
#include "kernels/cuda/attention/weighted_sum_rows.h"

namespace tovamill::cuda {
namespace {

using namespace weighted_sum;

constexpr int kMaxHeadParts = 2;  // of one block's sums
// Blocks of an SM that are asked of the compiler: as many as it can keep all numbers in registers
// for, 4 of compute capability 9.0 for bf16 heads of 128, which are 16 of 64 warps. 0: as many as
// come.
#if defined(__CUDA_ARCH__) && __CUDA_ARCH__ < 900
template <int kWidth, int kParts>
constexpr int kBlocksOfSm = kWidth == 8 && kParts == 1 ? 3 : 0;
#elif defined(__CUDA_ARCH__) && __CUDA_ARCH__ >= 1000
template <int kWidth, int kParts>
constexpr int kBlocksOfSm = kWidth == 8 ? 3 : 0;
#else
template <int kWidth, int kParts>
constexpr int kBlocksOfSm = kWidth == 8 ? 4 : 0;
#endif

// Grid: (queries, elements of kParts parts of a head), head, tile.
template <class T, int kWidth, int kParts>
__global__ void __launch_bounds__(kThreads, kBlocksOfSm<kWidth, kParts>)
    weighted_sum_kernel(WeightedSumArguments<T> a) {
  TOVAMILL_DYNAMIC_SHARED(shared_bytes);
  __shared__ float shifts[kRows], inverse[kRows];
  __shared__ float lane_sums[kRows][kLanes];  // of a row, each lane its own
  const SharedTiles<T, kWidth, kParts> shared(shared_bytes);
  const AttentionShape& shape = a.shape;
  const auto tile_index = static_cast<std::int32_t>(blockIdx.z),
             head = static_cast<std::int32_t>(blockIdx.y);
  const TileInfo& tile = a.tiles[tile_index];
  const std::int32_t d = shape.head_dim, n_passes = (parts_of(d) + kParts - 1) / kParts,
                     group = head / shape.heads_per_group;
  const auto first_query = static_cast<std::int32_t>(blockIdx.x) / n_passes * kRows,
             first_part = static_cast<std::int32_t>(blockIdx.x) % n_passes * kParts;
  const std::int32_t n_queries = min(kRows, tile.n_queries - first_query);
  if (n_queries <= 0) return;
  const auto warp = static_cast<std::int32_t>(threadIdx.x) / kLanes,
             lane = static_cast<std::int32_t>(threadIdx.x) % kLanes;
  const LayerView layer(tile.state, a.layout, tile.capacity, a.layer);
  const TileRows<T> stored(layer, tile, tile_index, head / shape.heads_per_kv, HeadArray::values,
                           a.scratch.appended);
  const std::int64_t row = a.scratch.row(tile_index, head, first_query, shape.n_heads);
  const QueryRows q{
      .shape = shape,
      .tile = tile,
      .first_query = first_query,
      .n_queries = n_queries,
      .n_slots = tile.n_state + first_query + n_queries,
      .positions = layer.positions(group),
      .eviction_step = a.scratch.eviction_steps(tile_index, group, shape.n_eviction_groups),
      .row = row,
      .scores = a.scratch.scores + row * a.scratch.ld,
      .ld = a.scratch.ld};
  const float sink = shape.sink(head);
  find_shifts(q, a.has_row_max ? a.scratch.row_max : nullptr, sink, shifts);
  for (int i = 0; i < kRowsOfWarp; ++i) lane_sums[warp * kRowsOfWarp + i][lane] = 0.0f;
  Sums<T> sums[kParts];
#pragma unroll
  for (int p = 0; p < kParts; ++p) sums[p].clear();
  sum_slots<T, kWidth, kParts>(q, stored, first_part, shared, shifts, lane_sums, sums);
  for (int i = 0; i < kRowsOfWarp; ++i) {
    const int r = warp * kRowsOfWarp + i;
    const float sum = warp_sum(lane_sums[r][lane]) + softmax_term(sink, shifts[r]);
    if (lane == 0) inverse[r] = sum == 0.0f ? 0.0f : 1.0f / sum;
  }
#pragma unroll
  for (int p = 0; p < kParts; ++p) {
    __syncthreads();
    sums[p].store(shared.sums, kCols);
    __syncthreads();
    T* out =
        a.out + static_cast<std::int64_t>(tile.first_row + first_query) * shape.q_size() + head * d;
    store_rows(q, (first_part + p) * kDepth, shared.sums, inverse, out);
  }
  if (!a.keeps_weights || first_part > 0) return;
  keep_evicted_weight(q, a.scratch, a.scratch.list(tile_index, group, shape.n_eviction_groups),
                      shifts, inverse);
}

template <class T, int kWidth, int kParts>
void launch_weighted_sum(const WeightedSumArguments<T>& a, std::int32_t n_tiles,
                         std::int32_t max_queries, const Stream& stream) {
  constexpr std::size_t kSumsBytes = kRows * kCols * sizeof(float);
  constexpr std::size_t kTileBytes = SharedTiles<T, kWidth, kParts>::kBytes;
  const int n_passes = (parts_of(a.shape.head_dim) + kParts - 1) / kParts;
  launch(weighted_sum_kernel<T, kWidth, kParts>, "weighted_sum",
         {.blocks = dim3(static_cast<unsigned>((max_queries + kRows - 1) / kRows * n_passes),
                         static_cast<unsigned>(a.shape.n_heads), static_cast<unsigned>(n_tiles)),
          .threads = dim3(kThreads),
          .shared_bytes = kTileBytes > kSumsBytes ? kTileBytes : kSumsBytes},
         stream, a);
}

template <class T, int kWidth>
void launch_weighted_sum(const WeightedSumArguments<T>& a, std::int32_t n_tiles,
                         std::int32_t max_queries, const Stream& stream) {
  if (parts_of(a.shape.head_dim) == 1)
    return launch_weighted_sum<T, kWidth, 1>(a, n_tiles, max_queries, stream);
  launch_weighted_sum<T, kWidth, kMaxHeadParts>(a, n_tiles, max_queries, stream);
}

}  // namespace

// Rows are read in 16 bytes, where heads are of so many, else in two elements.
template <class T>
void weighted_sum_tiles(const WeightedSumArguments<T>& a, std::int32_t n_tiles,
                        std::int32_t max_queries, const Stream& stream) {
  if (a.shape.head_dim % kWide<T> == 0)
    return launch_weighted_sum<T, kWide<T>>(a, n_tiles, max_queries, stream);
  launch_weighted_sum<T, 2>(a, n_tiles, max_queries, stream);
}

template void weighted_sum_tiles<float>(const WeightedSumArguments<float>&, std::int32_t,
                                        std::int32_t, const Stream&);
template void weighted_sum_tiles<Bf16>(const WeightedSumArguments<Bf16>&, std::int32_t,
                                       std::int32_t, const Stream&);

}  // namespace tovamill::cuda
