// An eviction group of a tile as the eviction scan sees it. Device code of
// attention_eviction_scan.cu.
#pragma once

#include "kernels/cuda/attention/attention_kernels.h"

namespace tovamill::cuda::eviction_scan {

// An eviction group of a tile: what its thread block reads and writes, in few registers.
struct ScannedGroup {
  const EvictionScanArguments& a;
  const TileInfo& tile;
  std::int32_t *eviction_step, *positions;  // (n_slots)
  std::int64_t list;                        // of the group's queries in the scratch
  std::int64_t first_head;                  // index of (tile, first head of the group)
  std::int32_t n_heads;                     // of the group
  std::int32_t stride;  // numbers from one array of the state's slots to the next

  __device__ ScannedGroup(const EvictionScanArguments& arguments, std::int32_t tile_index,
                          std::int32_t group)
      : a(arguments),
        tile(a.tiles[tile_index]),
        eviction_step(a.scratch.eviction_steps(tile_index, group, a.shape.n_eviction_groups)),
        list(a.scratch.list(tile_index, group, a.shape.n_eviction_groups)),
        first_head(static_cast<std::int64_t>(tile_index) * a.shape.n_heads +
                   group * a.shape.heads_per_group),
        n_heads(a.shape.heads_per_group) {
    const LayerView layer(tile.state, a.layout, tile.capacity, a.layer);
    positions = layer.positions(group);
    stride =
        static_cast<std::int32_t>(reinterpret_cast<std::int32_t*>(layer.memory(group)) - positions);
  }
  __device__ bool remembers() const { return a.layout.remembers; }
  __device__ bool averages() const { return a.layout.averages; }
  __device__ float& memory(std::int32_t j) const { return array(1)[j]; }
  __device__ float& decay_power(std::int32_t j) const { return array(2)[j]; }
  __device__ float value_norm(std::int32_t j) const { return array(3)[j]; }
  // (n_slots) of a head of the group.
  __device__ const float* scores(std::int32_t head, std::int32_t query) const {
    return a.scratch.scores + ((first_head + head) * kRopeSegmentTokens + query) * a.scratch.ld;
  }
  __device__ float sink(std::int32_t head) const {
    return a.shape.sink(static_cast<std::int32_t>(blockIdx.y) * n_heads + head);
  }
  // Positions at or below are hidden from the query by the sliding window.
  __device__ std::int64_t hidden_below(std::int32_t query) const {
    return static_cast<std::int64_t>(static_cast<std::int32_t>(tile.position) + query) -
           a.shape.sliding_window;
  }
  __device__ void keep_softmax(std::int32_t head, std::int32_t query, float row_max,
                               float row_scale) const {
    const std::int64_t at = (first_head + head) * kRopeSegmentTokens + query;
    a.scratch.row_max[at] = row_max;
    a.scratch.row_scale[at] = row_scale;
  }
  __device__ void record_eviction(std::int32_t query, std::int32_t slot, float weight) const {
    a.scratch.evicted[list + query] = slot;
    if (slot >= 0) a.scratch.evicted_weight[list + query] = weight;
  }

 private:
  __device__ float* array(std::int32_t i) const {
    return reinterpret_cast<float*>(positions + static_cast<std::int64_t>(i) * stride);
  }
};

}  // namespace tovamill::cuda::eviction_scan
