// Attention where it is known beforehand which tokens leave: `window`, `full` and blocks in which
// nothing leaves. Scores, softmax and weighted sum go in one pass.
#pragma once

#include <cstdint>

#include "kernels/cpu/attention/tile.h"

namespace tovamill::cpu {

// Eviction steps of a tile that has taken its slots: token j is attended to up to step j + k (sinks
// take their places from the k), sinks for ever.
void plan_evictions(const LayerPass& pass, const Tile& tile);
void attend_planned_part(const LayerPass& pass, const Tile& tile, std::int32_t kv,
                         std::int32_t part, int thread);

}  // namespace tovamill::cpu
