// What a scanned tile attends to: out = softmax over the tokens that are live at each query, times
// their values.
#pragma once

#include <cstdint>

#include "kernels/cpu/attention/tile.h"

namespace tovamill::cpu {

void weighted_sum_of_part(const LayerPass& pass, const Tile& tile, std::int32_t kv,
                          std::int32_t part, int thread);

}  // namespace tovamill::cpu
