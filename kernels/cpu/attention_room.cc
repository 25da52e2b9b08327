// How much memory states and the scratch of attention take, and when they grow and shrink.

#include <algorithm>

#include "kernels/cpu/attention_tile.h"
#include "kernels/types/error.h"

namespace tovamill::cpu {

std::int64_t Attention::capacity(std::int64_t n_tokens, bool keeps_all) const {
  return state_capacity(cache_, pad_columns(static_cast<std::int64_t>(cache_.cache_size) + tile_),
                        n_tokens, keeps_all);
}

// Bytes of a slot's and of a thread's arrays for states of so many columns; with `keeps_all` also
// for blocks in which nothing leaves.
Attention::RoomBytes Attention::room_bytes(std::int64_t n_columns, bool keeps_all) const {
  const auto columns = static_cast<std::size_t>(n_columns),
             kv = static_cast<std::size_t>(shape_.n_kv_heads),
             heads = static_cast<std::size_t>(shape_.n_heads),
             tile = static_cast<std::size_t>(tile_), groups = static_cast<std::size_t>(groups_),
             part_rows = static_cast<std::size_t>(part_steps_) * static_cast<std::size_t>(per_kv_),
             dim = static_cast<std::size_t>(padded_dim_);
  const bool scans = needs_scan(cache_.policy);
  // Of a tile that is scanned, its state bounded, or of one token with any state.
  const std::size_t scanned = scans ? tile * static_cast<std::size_t>(capacity(0, false)) : 0;
  const std::size_t panel =
      std::max<std::size_t>(scans ? kPanelRows : 0, keeps_all ? part_rows : 0);
  return {.keys = kv * static_cast<std::size_t>(shape_.head_dim) * columns * 4,
          .values = kv * dim * columns * 4,
          .weights = heads * std::max(scanned, columns) * 4,
          .policy = groups * 3 * columns * 4 +
                    groups * tile * static_cast<std::size_t>(heads_per_group_) * 4,
          .panel = panel * columns * 4,
          .rows = std::max<std::size_t>(kPanelRows, part_rows) * dim * 4,
          .lists = 3 * columns * 4};
}

void Attention::make_room(std::int64_t n_columns, bool keeps_all) {
  if (n_columns <= columns_ && keeps_all <= keeps_all_) return;
  n_columns = std::max(n_columns, columns_);
  keeps_all = keeps_all || keeps_all_;
  const RoomBytes bytes = room_bytes(n_columns, keeps_all);
  columns_ = 0;  // there is no room until all of it is there: allocations may fail
  const auto columns = static_cast<std::size_t>(n_columns),
             kv = static_cast<std::size_t>(shape_.n_kv_heads),
             tile = static_cast<std::size_t>(tile_), groups = static_cast<std::size_t>(groups_);
  for (Slot& slot : slots_) {
    slot.keys = AlignedBytes(bytes.keys);
    slot.values = AlignedBytes(bytes.values);
    slot.weights = AlignedBytes(bytes.weights);
    slot.policy = AlignedBytes(bytes.policy);
    slot.evicted.assign(groups * tile, -1);
    slot.evicted_weight.assign(groups * tile, 0.0f);
    slot.move_from.assign(groups * tile, 0);
    slot.move_to.assign(groups * tile, 0);
    slot.n_moves.assign(groups, 0);
    slot.head_weight.assign(kv * tile, 0.0);
  }
  for (ThreadScratch& s : scratch_) {
    s.weights = AlignedBytes(bytes.panel);
    s.rows = AlignedBytes(bytes.rows);
    s.order.resize(columns);
    s.rank.resize(columns);
    s.dropped.reserve(columns);
  }
  columns_ = n_columns;
  keeps_all_ = keeps_all;
}

std::uint64_t Attention::workspace_bytes() const {
  return workspace_bytes_of(columns_, keeps_all_);
}

std::uint64_t Attention::workspace_bytes_for(std::int64_t n_tokens, bool keeps_all) const {
  return workspace_bytes_of(std::max(columns_, capacity(n_tokens, keeps_all)),
                            keeps_all || keeps_all_);
}

std::uint64_t Attention::workspace_bytes_of(std::int64_t n_columns, bool keeps_all) const {
  const RoomBytes b = room_bytes(n_columns, keeps_all);
  return angles_.n_bytes() +
         (row_angles_.size() + rotated_keys_.size() + value_norms_.size()) * sizeof(float) +
         slots_.size() * (b.keys + b.values + b.weights + b.policy) +
         scratch_.size() * (b.panel + b.rows + b.lists);
}

void Attention::fit_states() {
  std::int64_t most = 0;
  bool keeps_all = false;
  for (const StepBlock& b : blocks_) {
    auto& state = *static_cast<CpuState*>(b.state);
    const std::int64_t held = state.n_columns(0);
    check_block(cache_, b, held);
    if (is_bounded(cache_) && !needs_scan(cache_.policy) && state.n_tokens() > 0 &&
        block_options(cache_, b.pin).sinks != block_options(cache_, state.pin()).sinks) {
      throw Error(ExitCode::internal,
                  "a stream's pin changes (a window has no place for more): keep it");
    }
    if (is_bounded(cache_)) state.pin() = b.pin;
    const bool grows = b.keeps_all || held > cache_.cache_size;
    const std::int64_t needed = capacity(held + b.n_tokens, grows);
    if (needed > state.capacity()) state.resize(needed);
    most = std::max(most, state.capacity());
    keeps_all = keeps_all || b.keeps_all;
  }
  make_room(most, keeps_all);
}

// A state that was brought down needs the room of a bounded one only.
void Attention::give_back(const StepBlock& block) const {
  auto& state = *static_cast<CpuState*>(block.state);
  const std::int64_t bounded = capacity(0, false);
  if (!is_bounded(cache_) || block.keeps_all || state.capacity() <= bounded) return;
  for (std::int32_t layer = 0; layer < shape_.n_layers; ++layer) {
    if (state.n_columns(layer) > cache_.cache_size) return;
  }
  state.resize(bounded);
}

}  // namespace tovamill::cpu
