#include "kernels/cpu/row_tiles.h"

#include <algorithm>
#include <limits>

namespace tovamill::cpu {
namespace {

// What a tile costs beside its rows, in rows: it reads the chunk's weights from the core's own
// cache. Measured (AVX-512, 576 x 480): in float32 one row takes as long as four, in bf16 1.4 times
// as long as each further one.
constexpr std::int32_t kTileCost = 4;

}  // namespace

void RowCut::plan(TileSizes sizes) {
  std::array<std::int32_t, kRowTile + 1> cost;
  cost[0] = 0;
  for (std::int32_t n = 1; n <= kRowTile; ++n) {
    const auto i = static_cast<std::size_t>(n);
    cost[i] = std::numeric_limits<std::int32_t>::max();
    for (std::size_t size = 0; size < kTileRows.size(); ++size) {
      if ((sizes >> size & 1) == 0) continue;
      const std::int32_t rest = std::max(n - kTileRows[size], 0);
      const std::int32_t c = kTileRows[size] + kTileCost + cost[static_cast<std::size_t>(rest)];
      if (c > cost[i]) continue;  // on equal costs the larger: fewer tiles
      cost[i] = c;
      largest_[i] = size;
    }
  }
  planned_ = sizes;
}

std::span<const RowTile> RowCut::cut(std::int32_t n_rows, TileSizes sizes) {
  if (sizes != planned_) plan(sizes);
  tiles_.clear();
  std::int32_t first = 0;
  for (; n_rows - first > kRowTile; first += kRowTile) tiles_.push_back({first, kWholeTile});
  while (first < n_rows) {
    const RowTile tile{first, largest_[static_cast<std::size_t>(n_rows - first)]};
    tiles_.push_back(tile);
    first += tile.rows();
  }
  return tiles_;
}

}  // namespace tovamill::cpu
