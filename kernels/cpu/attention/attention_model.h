// What attention on the CPU knows of a model and its cache options, the same in all steps: how
// heads are grouped, how large tiles are, where things stand in a state and how much room it has.
#pragma once

#include <algorithm>
#include <cstdint>

#include "kernels/backend.h"
#include "kernels/cpu/isa_kernels.h"
#include "kernels/cpu/state.h"

namespace tovamill::cpu {

// Queries of a tile whose evictions are scanned for: fewer scores are worked out in vain, yet GEMMs
// stay dense.
inline constexpr std::int32_t kScanTile = 64;
// Rows of a part of a tile: 16 register blocks of 6.
inline constexpr std::int32_t kPartRows = 96;
// Rows that are masked at a time before they meet the values.
inline constexpr std::int32_t kPanelRows = 12;

struct AttentionModel {
  // Of a layer of n_layers, and of all that have the same heads.
  AttentionModel(const BackendOptions& options, ComputeType type, std::int32_t layer);

  ModelShape shape;  // whose heads are the layer's
  CacheOptions cache;
  ComputeType type;           // of what GEMMs read, and of a state's keys and values
  std::int32_t max_rows;      // of a step
  std::int32_t tile_queries;  // of a tile at most
  std::int32_t per_kv;        // query heads of a KV head
  std::int32_t n_groups, kv_per_group, heads_per_group;  // eviction groups
  std::int32_t part_queries;                             // of a part of a tile
  std::int32_t padded_dim;                               // head_dim in whole vectors
  std::int64_t clip;                                     // clip distance
  StateLayout layout;

  // Of layer `layer` of n_layers.
  LayerPlaces places(std::int32_t layer) const { return places_of(cache, shape, layer); }
  // Whether any layer has.
  bool has_sinks() const {
    return std::any_of(shape.layers.begin(), shape.layers.end(),
                       [](const LayerShape& layer) { return layer.has_sinks; });
  }
  bool needs_scan() const { return tovamill::needs_scan(cache.policy); }
  // Bytes of a row of keys or values, as a state keeps it.
  std::size_t row_bytes() const {
    return static_cast<std::size_t>(shape.head_dim) * element_bytes(layout.storage);
  }
  // Floats of a row of Q, K and V.
  std::int64_t row_size() const { return shape.q_size() + 2 * shape.kv_size(); }
  // Slots that the widest layer of a state has room for once its stream has taken `n_tokens`, with
  // StepBlock::keeps_all in all blocks or in none.
  std::int64_t capacity(std::int64_t n_tokens, bool keeps_all) const;
  // What the rotated keys of a state are relative to (CpuState::rotation).
  std::int64_t wanted_rotation(std::int64_t position) const;
};

}  // namespace tovamill::cpu
