// The eviction scan of a tile (EvictionScan): which tokens leave after which of its queries.
#pragma once

#include <cstdint>

#include "kernels/cpu/attention/tile.h"

namespace tovamill::cpu {

// Input and output of the scan of an eviction group, but the weights and how a row is restored.
EvictionScan eviction_scan_of(const LayerPass& pass, const Tile& tile, std::int32_t group);
// Scans a tile whose scores are there.
void scan_evictions(const LayerPass& pass, const Tile& tile, std::int32_t group);

}  // namespace tovamill::cpu
