// What happens to a state around a tile: its tokens join, keys are packed and rotated anew where
// their positions change, survivors move together.

#include <algorithm>
#include <cstring>
#include <numeric>

#include "kernels/cpu/attention_tile.h"

namespace tovamill::cpu {

std::int64_t Attention::wanted_rotation(std::int64_t position) const {
  const std::int64_t group_start = position / kRopeSegmentTokens * kRopeSegmentTokens;
  if (cache_.positions == Positions::clipped) return std::max<std::int64_t>(0, group_start - clip_);
  return cache_.positions == Positions::in_state ? group_start : 0;
}

// Of a token of the current group. Only distances matter, so clipped positions count from where the
// clipping begins: they stay within the trained context however long the document is. `group_base`
// is CpuState's.
std::int64_t Attention::rotary_position(std::int64_t position, std::int64_t group_base) const {
  if (cache_.positions == Positions::absolute) return position;
  if (cache_.positions == Positions::clipped) return position - wanted_rotation(position);
  return group_base + position % kRopeSegmentTokens;
}

std::byte* Attention::storage_row(std::byte* head, std::int64_t column) const {
  return head + column * static_cast<std::int64_t>(static_cast<std::size_t>(shape_.head_dim) *
                                                   element_bytes(storage_));
}

void Attention::to_storage(const float* row, std::byte* to) const {
  if (storage_ == ComputeType::bf16) {
    isa_.to_bf16(row, shape_.head_dim, reinterpret_cast<std::uint16_t*>(to));
  } else {
    std::memcpy(to, row, static_cast<std::size_t>(shape_.head_dim) * 4);
  }
}

// The tile's tokens take the columns behind the state's.
void Attention::join(std::int32_t layer, Tile& tile) {
  CpuState& state = *tile.state;
  tile.n_state = state.n_columns(layer);
  tile.ld = static_cast<std::int32_t>(pad_columns(tile.n_columns()));
  for (std::int32_t g = 0; g < groups_; ++g) {
    for (std::int32_t i = 0; i < tile.n_steps; ++i) {
      const std::int32_t column = tile.n_state + i;
      state.positions(layer, g)[column] = static_cast<std::int32_t>(tile.position + i);
      if (layout_.remembers) state.memory(layer, g)[column] = 0.0f;
      if (!layout_.averages) continue;
      state.decay_power(layer, g)[column] = 1.0f;
      state.value_norm(layer, g)[column] =
          value_norms_[static_cast<std::size_t>(tile.first_row + i)];
    }
  }
}

// A row of the step joins a KV head.
void Attention::store_row(std::int32_t layer, const Tile& tile, std::int32_t kv, std::int64_t row,
                          std::int64_t column) const {
  const CpuState& state = *tile.state;
  const std::int32_t d = shape_.head_dim;
  const std::int64_t stride = shape_.q_size() + 2 * shape_.kv_size();
  const float* k = qkv_ + row * stride + shape_.q_size() + kv * d;
  if (layout_.keeps_unrotated) to_storage(k, storage_row(state.unrotated(layer, kv), column));
  to_storage(rotated_keys_.data() + row * shape_.kv_size() + kv * d,
             storage_row(state.rotated(layer, kv), column));
  to_storage(k + shape_.kv_size(), storage_row(state.values(layer, kv), column));
}

void Attention::append(std::int32_t layer, const Tile& tile, std::int32_t kv, int thread) {
  CpuState& state = *tile.state;
  const std::int32_t d = shape_.head_dim;
  if (state.rotation(layer) != wanted_rotation(tile.position))
    refresh_rotation(layer, tile, kv, thread);
  for (std::int32_t i = 0; i < tile.n_steps; ++i)
    store_row(layer, tile, kv, tile.first_row + i, tile.n_state + i);
  float* keys = reinterpret_cast<float*>(tile.slot->keys.data()) +
                static_cast<std::int64_t>(kv) * d * columns_;
  const std::byte* rotated = state.rotated(layer, kv);
  if (storage_ == ComputeType::bf16) {
    isa_.transpose_bf16(reinterpret_cast<const std::uint16_t*>(rotated), tile.n_columns(), tile.ld,
                        d, keys, tile.ld);
  } else {
    isa_.transpose_f32(reinterpret_cast<const float*>(rotated), tile.n_columns(), tile.ld, d, keys,
                       tile.ld);
  }
  if (storage_ == ComputeType::f32 && d == padded_dim_) return;
  float* values = reinterpret_cast<float*>(tile.slot->values.data()) +
                  static_cast<std::int64_t>(kv) * padded_dim_ * columns_;
  const std::byte* stored = state.values(layer, kv);
  for (std::int32_t c = 0; c < tile.n_columns(); ++c) {
    float* to = values + static_cast<std::int64_t>(c) * padded_dim_;
    if (storage_ == ComputeType::bf16) {
      isa_.from_bf16(
          reinterpret_cast<const std::uint16_t*>(stored) + static_cast<std::int64_t>(c) * d, d, to);
    } else {
      std::memcpy(to, reinterpret_cast<const float*>(stored) + static_cast<std::int64_t>(c) * d,
                  static_cast<std::size_t>(d) * 4);
    }
  }
}

// (n_columns, padded_dim) float32.
const float* Attention::packed_values(std::int32_t layer, const Tile& tile, std::int32_t kv) const {
  if (storage_ == ComputeType::f32 && shape_.head_dim == padded_dim_) {
    return reinterpret_cast<const float*>(tile.state->values(layer, kv));
  }
  return reinterpret_cast<const float*>(tile.slot->values.data()) +
         static_cast<std::int64_t>(kv) * padded_dim_ * columns_;
}

// Rotates the state's keys anew from the unrotated ones: at a group's start their positions change
// (kernels/README.md, "Positions").
void Attention::refresh_rotation(std::int32_t layer, const Tile& tile, std::int32_t kv,
                                 int thread) {
  CpuState& state = *tile.state;
  ThreadScratch& scratch = scratch_[static_cast<std::size_t>(thread)];
  const std::int32_t d = shape_.head_dim, half = d / 2;
  const std::int32_t* positions = state.positions(layer, kv / kv_per_group_);
  const std::int64_t shift = wanted_rotation(tile.position);
  const auto n = static_cast<std::size_t>(tile.n_state);
  if (cache_.positions == Positions::in_state) {
    std::iota(scratch.order.begin(), scratch.order.begin() + static_cast<std::ptrdiff_t>(n), 0);
    std::sort(scratch.order.begin(), scratch.order.begin() + static_cast<std::ptrdiff_t>(n),
              [&](std::int32_t a, std::int32_t b) { return positions[a] < positions[b]; });
    for (std::size_t i = 0; i < n; ++i)
      scratch.rank[static_cast<std::size_t>(scratch.order[i])] = static_cast<std::int32_t>(i);
  }
  float* row = reinterpret_cast<float*>(scratch.rows.data());
  for (std::size_t j = 0; j < n; ++j) {
    const std::int64_t place = cache_.positions == Positions::in_state
                                   ? scratch.rank[j]
                                   : std::max<std::int64_t>(0, positions[j] - shift);
    angles_.fill(place, scratch.angles.data(), scratch.angles.data() + half);
    const std::byte* from = storage_row(state.unrotated(layer, kv), static_cast<std::int64_t>(j));
    if (storage_ == ComputeType::bf16) {
      isa_.from_bf16(reinterpret_cast<const std::uint16_t*>(from), d, row);
    } else {
      std::memcpy(row, from, static_cast<std::size_t>(d) * 4);
    }
    isa_.rotate(row, scratch.angles.data(), scratch.angles.data() + half, half, row);
    to_storage(row, storage_row(state.rotated(layer, kv), static_cast<std::int64_t>(j)));
  }
}

// Survivors from the end fill the places of the dead, so that the state's columns stay together;
// what the group knows of its columns moves here, keys and values in `compact`.
void Attention::leave(std::int32_t layer, const Tile& tile, std::int32_t group) {
  Slot& slot = *tile.slot;
  CpuState& state = *tile.state;
  std::int32_t& n_moves = slot.n_moves[static_cast<std::size_t>(group)];
  n_moves = 0;
  state.rotation(layer) = wanted_rotation(tile.position);
  state.n_columns(layer) = tile.n_columns();
  state.n_tokens() = tile.position + tile.n_steps;
  if (!may_drop(tile)) return;
  const std::int32_t* deaths = death(slot, group);
  std::int32_t n_dead = 0;
  for (std::int32_t step = 0; step < tile.n_steps; ++step)
    n_dead += slot.evicted[static_cast<std::size_t>(group * tile_ + step)] >= 0;
  const std::int32_t n_left = tile.n_columns() - n_dead;
  std::int32_t from = n_left;
  for (std::int32_t to = 0; to < n_left; ++to) {
    if (deaths[to] == kAlive) continue;
    while (deaths[from] != kAlive) ++from;
    const auto at = static_cast<std::size_t>(group * tile_ + n_moves++);
    slot.move_from[at] = from;
    slot.move_to[at] = to;
    move_memory(state, layer, group, from, to);
    ++from;
  }
  state.n_columns(layer) = n_left;
}

void Attention::move_memory(CpuState& state, std::int32_t layer, std::int32_t group,
                            std::int32_t from, std::int32_t to) const {
  state.positions(layer, group)[to] = state.positions(layer, group)[from];
  if (layout_.remembers) state.memory(layer, group)[to] = state.memory(layer, group)[from];
  if (!layout_.averages) return;
  state.decay_power(layer, group)[to] = state.decay_power(layer, group)[from];
  state.value_norm(layer, group)[to] = state.value_norm(layer, group)[from];
}

void Attention::move_rows(CpuState& state, std::int32_t layer, std::int32_t kv, std::int32_t from,
                          std::int32_t to) const {
  const std::size_t bytes = static_cast<std::size_t>(shape_.head_dim) * element_bytes(storage_);
  if (layout_.keeps_unrotated) {
    std::byte* unrotated = state.unrotated(layer, kv);
    std::memcpy(storage_row(unrotated, to), storage_row(unrotated, from), bytes);
  }
  for (std::byte* head : {state.rotated(layer, kv), state.values(layer, kv)})
    std::memcpy(storage_row(head, to), storage_row(head, from), bytes);
}

void Attention::compact(std::int32_t layer, const Tile& tile, std::int32_t kv) {
  const Slot& slot = *tile.slot;
  const std::int32_t group = kv / kv_per_group_;
  for (std::int32_t i = 0; i < slot.n_moves[static_cast<std::size_t>(group)]; ++i) {
    const auto at = static_cast<std::size_t>(group * tile_ + i);
    move_rows(*tile.state, layer, kv, slot.move_from[at], slot.move_to[at]);
  }
}

}  // namespace tovamill::cpu
