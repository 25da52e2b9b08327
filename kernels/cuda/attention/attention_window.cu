// Evictions that need no weights: `window` evicts token j after the query j + k (sinks take their
// places from the k; Xiao et al. 2024, arXiv:2309.17453), `full` evicts none.
//
// Mapping: a thread block takes an eviction group of a tile, a thread a slot. Bytes of a layer and
// tile: a position read and an eviction step written for each slot.
#include "kernels/cuda/attention/attention_kernels.h"
#include "kernels/cuda/device/warp.h"

namespace tovamill::cuda {
namespace {

// Grid: tiles, eviction groups.
__global__ void plan_kernel(EvictionScanArguments a) {
  const auto tile_index = static_cast<std::int32_t>(blockIdx.x),
             group = static_cast<std::int32_t>(blockIdx.y);
  const auto thread = static_cast<std::int32_t>(threadIdx.x),
             n_threads = static_cast<std::int32_t>(blockDim.x);
  const TileInfo& tile = a.tiles[tile_index];
  const LayerView layer(tile.state, a.layout, tile.capacity, a.layer);
  const std::int32_t* positions = layer.positions(group);
  std::int32_t* eviction_step =
      a.scratch.eviction_steps(tile_index, group, a.shape.n_eviction_groups);
  std::int32_t* evicted =
      a.scratch.evicted + a.scratch.list(tile_index, group, a.shape.n_eviction_groups);
  for (std::int32_t query = thread; query < kRopeSegmentTokens; query += n_threads)
    evicted[query] = -1;
  __syncthreads();
  for (std::int32_t j = thread; j < a.scratch.ld; j += n_threads) {
    eviction_step[j] = j < tile.n_slots() ? kLive : -1;
    if (tile.evicts == 0 || j >= tile.n_slots() || positions[j] < tile.rule.first_free) continue;
    const std::int64_t query = static_cast<std::int64_t>(positions[j]) + tile.rule.cache_size -
                               tile.rule.first_free - tile.position;
    if (query >= tile.n_queries) continue;
    eviction_step[j] = static_cast<std::int32_t>(query);
    evicted[query] = j;
  }
}

}  // namespace

void plan_evictions(const EvictionScanArguments& a, std::int32_t n_tiles, const Stream& stream) {
  launch(plan_kernel, "plan_evictions",
         {.blocks = dim3(static_cast<unsigned>(n_tiles),
                         static_cast<unsigned>(a.shape.n_eviction_groups)),
          .threads = dim3(256)},
         stream, a);
}

}  // namespace tovamill::cuda
