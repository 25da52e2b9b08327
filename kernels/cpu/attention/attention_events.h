// What a tile leaves behind: who left, and how much was attended to.
#pragma once

#include "kernels/cpu/attention/tile.h"

namespace tovamill::cpu {

// Adds those of a tile whose evictions are known, before its slots move.
void add_events(const LayerPass& pass, const Tile& tile, BlockEvents& events);

}  // namespace tovamill::cpu
