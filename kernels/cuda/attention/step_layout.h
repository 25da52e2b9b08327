// In which tiles and batches a step's blocks are computed. A block is cut where a RoPE segment (256
// positions) ends, so a tile has at most 256 queries; a block of one token is a tile of its own
// kind. Tiles of different sequences go side by side in tile batches, as many as the scratch holds;
// those of one sequence follow each other. How many slots of a state are taken after a tile follows
// from the options alone, so a whole step is laid out on the host before its first kernel starts.
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

enum class TileKind : std::uint8_t {
  scanned,  // a policy that decides by weights
  planned,  // evictions follow from positions, or there are none
  decode,   // blocks of one token
};

// Tiles [first, first + n_tiles) of the step that run side by side. In decoding, max_slots and
// max_evictions are rounded up, so that the batches of many steps are equal.
struct TileBatch {
  TileKind kind = TileKind::scanned;
  std::int32_t first = 0, n_tiles = 0;
  std::int32_t max_slots = 0, max_queries = 0, max_evictions = 0;
  std::int32_t rotates = 0;
  bool operator==(const TileBatch&) const = default;
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
  // The same as each layer has them, (n_layers, tiles), where layers differ; else empty.
  const std::vector<TileInfo>& layer_tiles() const { return layer_tiles_; }
  TileInfo tile_of(std::int32_t layer, std::size_t index) const {
    return model_.in_layer(tiles_[index], layer);
  }
  const std::vector<TileBatch>& batches() const { return batches_; }
  // Which block a tile is of.
  std::size_t block_of(std::size_t tile) const { return tile_blocks_[tile]; }
  // (n_rows): rotary positions; index of tiles, -1: none.
  const std::vector<std::int64_t>& positions() const { return positions_; }
  const std::vector<std::int32_t>& row_tiles() const { return row_tiles_; }
  // Tokens that the block's state holds in a layer before the step.
  std::int64_t held_before(std::size_t block, std::int32_t layer) const {
    return model_.held_in(layer, held_before_[block].first, held_before_[block].second);
  }

 private:
  TileKind kind_of(const StepBlock& block) const;
  TileInfo next_tile(const StepBlock& block, std::int32_t done);
  void place_rows(const TileInfo& tile, const CudaState& state);
  void add_batches(const std::vector<std::pair<TileInfo, std::size_t>>& tiles, TileKind kind,
                   const AttentionScratch& scratch);
  std::int32_t slots_for(const TileInfo& tile, TileKind kind) const;
  std::int32_t most_evictions(const TileInfo& tile) const;
  void add_tile(TileBatch& batch, const TileInfo& tile, std::size_t block);

  const AttentionModel& model_;
  std::vector<StepBlock> blocks_;
  std::int32_t n_rows_ = 0;
  std::vector<TileInfo> tiles_, layer_tiles_;
  std::vector<std::size_t> tile_blocks_;
  std::vector<TileBatch> batches_;
  std::vector<std::int64_t> positions_;
  std::vector<std::int32_t> row_tiles_;
  std::vector<std::pair<std::int64_t, std::int64_t>> held_before_;  // CudaState's n_held, n_grown
};

}  // namespace tovamill::cuda
