// Deaths that need no weights: `window` lets token j go after the query j + k (sinks take their
// places from the k), `full` none.
//
// Bytes a layer and tile: a position and a death for each column.
#include "kernels/cuda/attention/attention_kernels.h"
#include "kernels/cuda/device/warp.h"

namespace tovamill::cuda {
namespace {

__global__ void plan_kernel(ScanArguments a) {
  const auto slot = static_cast<std::int32_t>(blockIdx.x),
             group = static_cast<std::int32_t>(blockIdx.y);
  const auto thread = static_cast<std::int32_t>(threadIdx.x),
             n_threads = static_cast<std::int32_t>(blockDim.x);
  const TileInfo& tile = a.tiles[slot];
  const LayerView layer(tile.state, a.layout, tile.capacity, a.layer);
  const std::int32_t* positions = layer.positions(group);
  std::int32_t* death = a.scratch.deaths(slot, group, a.shape.n_eviction_groups);
  std::int32_t* evicted =
      a.scratch.evicted +
      (static_cast<std::int64_t>(slot) * a.shape.n_eviction_groups + group) * kRopeSegmentTokens;
  for (std::int32_t step = thread; step < kRopeSegmentTokens; step += n_threads) evicted[step] = -1;
  __syncthreads();
  for (std::int32_t j = thread; j < a.scratch.ld; j += n_threads) {
    death[j] = j < tile.n_columns() ? kAlive : -1;
    if (tile.drops == 0 || j >= tile.n_columns() || positions[j] < tile.rule.first_free) continue;
    const std::int64_t step = static_cast<std::int64_t>(positions[j]) + tile.rule.cache_size -
                              tile.rule.first_free - tile.position;
    if (step >= tile.n_steps) continue;
    death[j] = static_cast<std::int32_t>(step);
    evicted[step] = j;
  }
}

}  // namespace

void plan_deaths(const ScanArguments& a, std::int32_t n_tiles, const Stream& stream) {
  launch(plan_kernel, "plan_deaths",
         {.blocks = dim3(static_cast<unsigned>(n_tiles),
                         static_cast<unsigned>(a.shape.n_eviction_groups)),
          .threads = dim3(256)},
         stream, a);
}

}  // namespace tovamill::cuda
