// Keys of a state, rotated anew from the unrotated ones where a RoPE segment begins
// (kernels/README.md, "Positions").
#pragma once

#include <cstdint>

#include "kernels/cpu/attention/tile.h"

namespace tovamill::cpu {

// Rotates the state's keys anew from the unrotated ones where the tile's first query wants it: at a
// RoPE segment's begin.
void rotate_again(const LayerPass& pass, const Tile& tile, std::int32_t kv, int thread);

}  // namespace tovamill::cpu
