#include "kernels/cuda/attention/step_layout.h"

#include <algorithm>

namespace tovamill::cuda {

// All first tiles, then all second ones, and so on: those of a block follow each other.
void StepLayout::lay_out(std::span<const StepBlock> blocks, std::int32_t n_rows,
                         const AttentionScratch& scratch) {
  blocks_.assign(blocks.begin(), blocks.end());
  n_rows_ = n_rows;
  tiles_.clear();
  tile_blocks_.clear();
  waves_.clear();
  held_before_.clear();
  for (const StepBlock& block : blocks_)
    held_before_.push_back(static_cast<const CudaState*>(block.state)->n_held);
  positions_.assign(static_cast<std::size_t>(n_rows_), 0);
  row_tiles_.assign(static_cast<std::size_t>(n_rows_), -1);
  std::vector<std::int32_t> done(blocks_.size(), 0);
  for (bool any = true; any;) {
    any = false;
    for (const Way way : {Way::single, Way::scanned, Way::planned}) {
      std::vector<std::pair<TileInfo, std::size_t>> tiles;
      for (std::size_t b = 0; b < blocks_.size(); ++b) {
        const StepBlock& block = blocks_[b];
        if (done[b] >= block.n_tokens || way_of(block) != way) continue;
        const TileInfo tile = next_tile(block, done[b]);
        place_rows(tile, *static_cast<const CudaState*>(block.state));
        done[b] += tile.n_steps;
        tiles.emplace_back(tile, b);
      }
      any = any || !tiles.empty();
      add_waves(tiles, way, scratch);
    }
  }
}

Way StepLayout::way_of(const StepBlock& block) const {
  if (block.n_tokens == 1) return Way::single;
  return needs_scan(model_.cache().policy) && !block.keeps_all ? Way::scanned : Way::planned;
}

// The next tile of a block whose first `done` tokens are laid out; takes the state past it.
TileInfo StepLayout::next_tile(const StepBlock& block, std::int32_t done) {
  auto& state = *static_cast<CudaState*>(block.state);
  const bool is_bound = is_bounded(model_.cache());
  const std::int64_t position = block.position + done;
  TileInfo t{};
  t.state = state.data();
  t.capacity = state.capacity;
  t.position = position;
  t.first_row = t.event_row = block.first_row + done;
  t.n_steps = static_cast<std::int32_t>(std::min<std::int64_t>(
      block.n_tokens - done, kRopeSegmentTokens - position % kRopeSegmentTokens));
  t.n_state = static_cast<std::int32_t>(state.n_held);
  t.n_inside = t.n_columns() <= state.capacity ? t.n_columns() : t.n_state;
  t.rotation = model_.wanted_rotation(position);
  t.rotates = model_.layout().keeps_unrotated && t.rotation != state.rotation ? 1 : 0;
  t.drops = is_bound && !block.keeps_all ? 1 : 0;
  t.rule = model_.rule_of(block);
  if (position % kRopeSegmentTokens == 0) state.group_base = state.n_held;
  state.n_held = model_.held_after(block, state.n_held, t.n_steps);
  state.n_tokens = position + t.n_steps;
  state.rotation = t.rotation;
  if (is_bound) state.pin = block.pin;
  return t;
}

// Of the tile's rows.
void StepLayout::place_rows(const TileInfo& tile, const CudaState& state) {
  const Positions kind = model_.cache().positions;
  for (std::int32_t i = 0; i < tile.n_steps; ++i) {
    const std::int64_t position = tile.position + i;
    std::int64_t place = position;
    if (kind == Positions::clipped) place = position - tile.rotation;
    if (kind == Positions::in_state) place = state.group_base + position % kRopeSegmentTokens;
    positions_[static_cast<std::size_t>(tile.first_row + i)] = place;
  }
}

// What the scratch is laid out for.
std::int32_t StepLayout::columns_for(const TileInfo& tile, Way way) const {
  return way == Way::single ? static_cast<std::int32_t>(model_.single_columns(tile.n_columns()))
                            : tile.n_columns();
}

// As many side by side as there is scratch for.
void StepLayout::add_waves(const std::vector<std::pair<TileInfo, std::size_t>>& tiles, Way way,
                           const AttentionScratch& scratch) {
  std::size_t begin = 0;
  while (begin < tiles.size()) {
    Wave wave{.way = way, .first = static_cast<std::int32_t>(tiles_.size())};
    std::size_t end = begin;
    for (; end < tiles.size(); ++end) {
      const std::int32_t columns = std::max(wave.max_columns, columns_for(tiles[end].first, way));
      const auto n = static_cast<std::int64_t>(end - begin + 1);
      const bool fits =
          way == Way::single ? scratch.holds_singles(n, columns) : scratch.holds_tiles(n, columns);
      if (end > begin && !fits) break;
      add_tile(wave, tiles[end].first, tiles[end].second);
    }
    wave.n_tiles = static_cast<std::int32_t>(end - begin);
    waves_.push_back(wave);
    begin = end;
  }
}

void StepLayout::add_tile(Wave& wave, const TileInfo& tile, std::size_t block) {
  wave.max_columns = std::max(wave.max_columns, columns_for(tile, wave.way));
  wave.max_steps = std::max(wave.max_steps, tile.n_steps);
  wave.max_drops =
      std::max(wave.max_drops, tile.drops != 0 ? tile.n_columns() - tile.rule.cache_size : 0);
  if (wave.way == Way::single) wave.max_drops = std::max(wave.max_drops, 1);
  wave.rotates |= tile.rotates;
  for (std::int32_t i = 0; i < tile.n_steps; ++i)
    row_tiles_[static_cast<std::size_t>(tile.first_row + i)] =
        static_cast<std::int32_t>(tiles_.size());
  tiles_.push_back(tile);
  tile_blocks_.push_back(block);
}

}  // namespace tovamill::cuda
