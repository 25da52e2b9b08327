// What happens to a state around a tile: its tokens are appended, keys are rotated anew where their
// positions change and packed for the GEMMs, and survivors move together.
#pragma once

#include <cstdint>

#include "kernels/cpu/attention/tile.h"

namespace tovamill::cpu {

// The tile's tokens take slots: their positions and what the policy remembers at their birth.
void take_slots(const LayerPass& pass, Tile& tile);
// Rotates the state's keys anew from the unrotated ones where the tile's first query wants it: at a
// RoPE segment's begin.
void rotate_again(const LayerPass& pass, const Tile& tile, std::int32_t kv, int thread);
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
