// What happens to a state around a tile: its tokens are appended, they are packed for
// the GEMMs, and the tokens that stay move together.
#pragma once

#include <cstdint>

#include "kernels/cpu/attention/tile.h"

namespace tovamill::cpu {

// The tile's tokens take slots: their positions and what the policy remembers when they are
// appended.
void take_slots(const LayerPass& pass, Tile& tile);
// A row of the step becomes a KV head's key and value in `slot`.
void store_row(const LayerPass& pass, const Tile& tile, std::int32_t kv, std::int64_t row,
               std::int64_t slot);
// All of the above of a KV head, and its keys and values packed into the tile's scratch.
void append(const LayerPass& pass, const Tile& tile, std::int32_t kv, int thread);
// (n_slots, padded_dim) float32, of a tile that has been appended.
const float* packed_values(const LayerPass& pass, const Tile& tile, std::int32_t kv);

// Takes the state past the tile. Survivors from the end fill the slots of the evicted: what the
// group knows of its slots moves here, keys and values in `compact`.
void evict(const LayerPass& pass, const Tile& tile, std::int32_t group);
void compact(const LayerPass& pass, const Tile& tile, std::int32_t kv);
// A slot's position and memory, and its keys and values.
void move_memory(const LayerPass& pass, CpuState& state, std::int32_t group, std::int32_t from,
                 std::int32_t to);
void move_rows(const LayerPass& pass, CpuState& state, std::int32_t kv, std::int32_t from,
               std::int32_t to);

}  // namespace tovamill::cpu
