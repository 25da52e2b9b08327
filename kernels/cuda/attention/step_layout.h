// How a step's blocks are worked off. A block is cut where a group of 256 positions ends, so a tile
// has at most 256 queries; a block of one token is a tile of its own kind. Tiles of different
// streams go side by side in waves, as many as the scratch has slots for; those of one stream
// follow each other. How many columns a state has after a tile follows from the options alone, so a
// whole step is laid out on the host before its first kernel starts.
#pragma once

#include <cstdint>
#include <span>
#include <utility>
#include <vector>

#include "kernels/backend.h"
#include "kernels/cuda/attention/attention_scratch.h"
#include "kernels/cuda/state/attention_model.h"
#include "kernels/cuda/state/tile.h"

namespace tovamill::cuda {

enum class Way : std::uint8_t {
  scanned,  // a policy that decides by weights
  planned,  // deaths follow from positions, or nothing leaves
  single,   // blocks of one token
};

// Tiles [first, first + n_tiles) of the step that run side by side. Of single tokens max_columns
// and max_drops are rounded up, so that the waves of many steps are equal.
struct Wave {
  Way way = Way::scanned;
  std::int32_t first = 0, n_tiles = 0;
  std::int32_t max_columns = 0, max_steps = 0, max_drops = 0;
  std::int32_t rotates = 0;
  bool operator==(const Wave&) const = default;
};

class StepLayout {
 public:
  explicit StepLayout(const AttentionModel& model) : model_(model) {}

  // Lays out blocks that fit their states, and takes the states to where they will be after the
  // step.
  void lay_out(std::span<const StepBlock> blocks, std::int32_t n_rows,
               const AttentionScratch& scratch);

  const std::vector<StepBlock>& blocks() const { return blocks_; }
  std::int32_t n_rows() const { return n_rows_; }
  const std::vector<TileInfo>& tiles() const { return tiles_; }
  const std::vector<Wave>& waves() const { return waves_; }
  // Which block a tile is of.
  std::size_t block_of(std::size_t tile) const { return tile_blocks_[tile]; }
  // (n_rows): rotary positions; index of tiles, -1: none.
  const std::vector<std::int64_t>& positions() const { return positions_; }
  const std::vector<std::int32_t>& row_tiles() const { return row_tiles_; }
  // Columns of the block's state before the step.
  std::int64_t held_before(std::size_t block) const { return held_before_[block]; }

 private:
  Way way_of(const StepBlock& block) const;
  TileInfo next_tile(const StepBlock& block, std::int32_t done);
  void place_rows(const TileInfo& tile, const CudaState& state);
  void add_waves(const std::vector<std::pair<TileInfo, std::size_t>>& tiles, Way way,
                 const AttentionScratch& scratch);
  std::int32_t columns_for(const TileInfo& tile, Way way) const;
  void add_tile(Wave& wave, const TileInfo& tile, std::size_t block);

  const AttentionModel& model_;
  std::vector<StepBlock> blocks_;
  std::int32_t n_rows_ = 0;
  std::vector<TileInfo> tiles_;
  std::vector<std::size_t> tile_blocks_;
  std::vector<Wave> waves_;
  std::vector<std::int64_t> positions_;
  std::vector<std::int32_t> row_tiles_;
  std::vector<std::int64_t> held_before_;
};

}  // namespace tovamill::cuda
