// Which experts the rows of a step take, and in which order rows are multiplied by them: all rows
// of an expert side by side, in tiles as of a dense product (row_tiles.h). Neither the order nor
// the tiles change what a row comes to.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "kernels/cpu/row_tiles.h"
#include "kernels/types/experts_shape.h"

namespace tovamill::cpu {

// An expert that a row takes; `place` is where the row stands among those of all experts.
struct ExpertChoice {
  std::int32_t expert = 0;
  float weight = 0.0f;
  std::int32_t place = 0;
};

// Rows [first, first + n_rows) of the places belong to `expert`; the tile may reach beyond them.
struct ExpertTile {
  std::int32_t expert = 0, first = 0, n_rows = 0;
  std::size_t size = 0;  // index into kTileRows
};

// The `n_used` experts of the highest of `n_experts` logits, in the order of experts; of equal ones
// the first. A NaN among the logits makes weights NaN.
void choose_experts(const float* logits, const ExpertsShape& shape, std::span<ExpertChoice> chosen);

class ExpertRows {
 public:
  ExpertRows() = default;
  ExpertRows(std::int32_t max_rows, std::int32_t most_used);

  // Of row `row`, to be filled before `sort`.
  std::span<ExpertChoice> of_row(std::int32_t row) {
    return {choices_.data() + static_cast<std::size_t>(row) * n_used_, n_used_};
  }
  void begin(const ExpertsShape& shape) { n_used_ = static_cast<std::size_t>(shape.n_used); }
  // Gives each choice of rows [0, n_rows) its place: by expert, then by row.
  void sort(std::int32_t n_rows, std::int32_t n_experts);
  std::int32_t n_places() const { return static_cast<std::int32_t>(rows_.size()); }
  // The row of a place.
  std::int32_t row_at(std::int32_t place) const { return rows_[static_cast<std::size_t>(place)]; }
  // The places cut into tiles of the given sizes, valid until the next call.
  std::span<const ExpertTile> tiles(TileSizes sizes);
  std::uint64_t n_bytes() const;

 private:
  std::size_t n_used_ = 0;
  std::vector<ExpertChoice> choices_;  // (max_rows, n_used)
  std::vector<std::int32_t> rows_;     // by place
  std::vector<std::int32_t> begins_;   // (n_experts + 1) first place of each
  std::vector<ExpertTile> tiles_;
  RowCut cut_;
};

}  // namespace tovamill::cpu
