#include "kernels/cuda/attention/step_layout.h"

#include <algorithm>

namespace tovamill::cuda {

// The first tiles of all blocks, then all second ones, and so on: those of a block follow each
// other.
void StepLayout::lay_out(std::span<const StepBlock> blocks, std::int32_t n_rows,
                         const AttentionScratch& scratch) {
  blocks_.assign(blocks.begin(), blocks.end());
  n_rows_ = n_rows;
  tiles_.clear();
  tile_blocks_.clear();
  batches_.clear();
  held_before_.clear();
  for (const StepBlock& block : blocks_)
    held_before_.emplace_back(static_cast<const CudaState*>(block.state)->n_held,
                              static_cast<const CudaState*>(block.state)->n_grown);
  positions_.assign(static_cast<std::size_t>(n_rows_), 0);
  row_tiles_.assign(static_cast<std::size_t>(n_rows_), -1);
  std::vector<std::int32_t> done(blocks_.size(), 0);
  for (bool any = true; any;) {
    any = false;
    for (const TileKind kind : {TileKind::decode, TileKind::scanned, TileKind::planned}) {
      std::vector<std::pair<TileInfo, std::size_t>> tiles;
      for (std::size_t b = 0; b < blocks_.size(); ++b) {
        const StepBlock& block = blocks_[b];
        if (done[b] >= block.n_tokens || kind_of(block) != kind) continue;
        const TileInfo tile = next_tile(block, done[b]);
        place_rows(tile, *static_cast<const CudaState*>(block.state));
        done[b] += tile.n_queries;
        tiles.emplace_back(tile, b);
      }
      any = any || !tiles.empty();
      add_batches(tiles, kind, scratch);
    }
  }
  layer_tiles_.clear();
  if (!model_.layers_differ()) return;
  for (std::int32_t l = 0; l < model_.model().n_layers; ++l) {
    for (std::size_t i = 0; i < tiles_.size(); ++i) layer_tiles_.push_back(tile_of(l, i));
  }
}

TileKind StepLayout::kind_of(const StepBlock& block) const {
  if (block.n_tokens == 1) return TileKind::decode;
  return needs_scan(model_.cache().policy) && !block.keeps_all ? TileKind::scanned
                                                               : TileKind::planned;
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
  t.n_queries = static_cast<std::int32_t>(std::min<std::int64_t>(
      block.n_tokens - done, model_.tile_positions() - position % model_.tile_positions()));
  t.n_held = static_cast<std::int32_t>(state.n_held);
  t.n_grown = static_cast<std::int32_t>(state.n_grown);
  t.n_state = model_.most_slots(state);
  t.n_stored = t.n_slots() <= state.capacity ? t.n_slots() : t.n_state;
  t.rotation = model_.wanted_rotation(position);
  t.rotation_before = state.rotation;
  t.rotates = model_.layout().keeps_unrotated && t.rotation != state.rotation ? 1 : 0;
  t.evicts = is_bound && !block.keeps_all ? 1 : 0;
  t.rule = model_.rule_of(block);
  if (position % kRopeSegmentTokens == 0) state.segment_base = state.n_held;
  model_.take(block, state, t.n_queries);
  state.n_tokens = position + t.n_queries;
  state.rotation = t.rotation;
  if (is_bound) state.pin = block.pin;
  return t;
}

// Rotary positions of the tile's rows.
void StepLayout::place_rows(const TileInfo& tile, const CudaState& state) {
  const Positions kind = model_.cache().positions;
  for (std::int32_t i = 0; i < tile.n_queries; ++i) {
    const std::int64_t position = tile.position + i;
    std::int64_t rotary = position;
    if (kind == Positions::clipped) rotary = position - tile.rotation;
    if (kind == Positions::in_state) rotary = state.segment_base + position % kRopeSegmentTokens;
    positions_[static_cast<std::size_t>(tile.first_row + i)] = rotary;
  }
}

// Slots that the scratch of a tile is laid out for.
std::int32_t StepLayout::slots_for(const TileInfo& tile, TileKind kind) const {
  return kind == TileKind::decode ? static_cast<std::int32_t>(model_.decode_slots(tile.n_slots()))
                                  : tile.n_slots();
}

// Puts as many tiles side by side as the scratch holds.
void StepLayout::add_batches(const std::vector<std::pair<TileInfo, std::size_t>>& tiles,
                             TileKind kind, const AttentionScratch& scratch) {
  std::size_t begin = 0;
  while (begin < tiles.size()) {
    TileBatch batch{.kind = kind, .first = static_cast<std::int32_t>(tiles_.size())};
    std::size_t end = begin;
    for (; end < tiles.size(); ++end) {
      const std::int32_t n_slots = std::max(batch.max_slots, slots_for(tiles[end].first, kind));
      const auto n = static_cast<std::int64_t>(end - begin + 1);
      const bool fits = kind == TileKind::decode ? scratch.holds_decode_tiles(n, n_slots)
                                                 : scratch.holds_tiles(n, n_slots);
      if (end > begin && !fits) break;
      add_tile(batch, tiles[end].first, tiles[end].second);
    }
    batch.n_tiles = static_cast<std::int32_t>(end - begin);
    batches_.push_back(batch);
    begin = end;
  }
}

// In the layer where most leave at once.
std::int32_t StepLayout::most_evictions(const TileInfo& tile) const {
  std::int32_t most = 0;
  const std::int32_t n_layers = model_.layers_differ() ? model_.model().n_layers : 1;
  for (std::int32_t l = 0; l < n_layers && tile.evicts != 0; ++l) {
    const TileInfo t = model_.in_layer(tile, l);
    most = std::max(most, t.n_slots() - t.rule.cache_size);
  }
  return most;
}

void StepLayout::add_tile(TileBatch& batch, const TileInfo& tile, std::size_t block) {
  batch.max_slots = std::max(batch.max_slots, slots_for(tile, batch.kind));
  batch.max_queries = std::max(batch.max_queries, tile.n_queries);
  batch.max_evictions = std::max(batch.max_evictions, most_evictions(tile));
  if (batch.kind == TileKind::decode) batch.max_evictions = std::max(batch.max_evictions, 1);
  batch.rotates |= tile.rotates;
  for (std::int32_t i = 0; i < tile.n_queries; ++i)
    row_tiles_[static_cast<std::size_t>(tile.first_row + i)] =
        static_cast<std::int32_t>(tiles_.size());
  tiles_.push_back(tile);
  tile_blocks_.push_back(block);
}

}  // namespace tovamill::cuda
