// How the rows of a step are cut into tiles of a few fixed numbers of rows, so that few rows
// (decoding) do not cost as much as a whole tile. What a row comes to does not depend on the cut:
// gemm.h uses only sizes that give the same bits.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

namespace tovamill::cpu {

// Rows of a whole tile. Fewer would cost speed where there are many rows.
inline constexpr std::int32_t kRowTile = 128;
// Rows that a tile may have, ascending; the last is the whole tile.
inline constexpr std::array<std::int32_t, 8> kTileRows{1, 2, 4, 8, 16, 32, 64, kRowTile};
inline constexpr std::size_t kWholeTile = kTileRows.size() - 1;

// The sizes that may be used: bit i stands for kTileRows[i].
using TileSizes = std::uint32_t;
inline constexpr TileSizes kWholeTileOnly = TileSizes{1} << kWholeTile;

struct RowTile {
  std::int32_t first = 0;  // row
  std::size_t size = 0;    // index into kTileRows
  std::int32_t rows() const { return kTileRows[size]; }
};

class RowCut {
 public:
  // Makes `tiles` cover rows [0, n_rows): whole tiles, then the cheapest of the other sizes for the
  // rest; only the last tile may reach beyond n_rows, and none beyond the next multiple of
  // kRowTile. `sizes` holds the whole tile. The tiles are valid until the next call; no allocation
  // once a call has had as many rows.
  std::span<const RowTile> cut(std::int32_t n_rows, TileSizes sizes);

 private:
  void plan(TileSizes sizes);

  TileSizes planned_ = 0;
  std::array<std::size_t, kRowTile + 1> largest_{};  // of the cheapest cover of so many rows
  std::vector<RowTile> tiles_;
};

}  // namespace tovamill::cpu
