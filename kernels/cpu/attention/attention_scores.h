// Scores of a tile: queries times all of its slots' keys, as exponentials relative to each row's
// highest, for the eviction scan.
#pragma once

#include <cstdint>

#include "kernels/cpu/attention/tile.h"

namespace tovamill::cpu {

// Fills the part's rows of TileScratch::weights: exp(score - highest of the row), 0 where the query
// may not see.
void score_part(const LayerPass& pass, const Tile& tile, std::int32_t kv, std::int32_t part);
// The same of one row, relative to the highest score among the tokens that are live at its query.
void restore_row(const LayerPass& pass, const Tile& tile, std::int32_t kv, std::int32_t row);

}  // namespace tovamill::cpu
