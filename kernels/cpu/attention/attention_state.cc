#include "kernels/cpu/attention/attention_state.h"

#include <algorithm>
#include <cstring>
#include <numeric>

#include "kernels/cpu/attention/attention_rotate.h"
#include "kernels/cpu/attention/stored_rows.h"

namespace tovamill::cpu {
namespace {

// The values of float32 states whose rows are whole vectors are read where they are.
bool packs_values(const AttentionModel& model) {
  return model.layout.storage != ComputeType::f32 || model.shape.head_dim != model.padded_dim;
}

}  // namespace

void take_slots(const LayerPass& pass, Tile& tile) {
  CpuState& state = *tile.state;
  const PolicyMemory memory = pass.model.layout.memory;
  tile.n_state = state.n_slots(pass.layer);
  tile.ld = static_cast<std::int32_t>(pad_slots(tile.n_slots()));
  for (std::int32_t g = 0; g < pass.model.n_groups; ++g) {
    for (std::int32_t i = 0; i < tile.n_queries; ++i) {
      const std::int32_t slot = tile.n_state + i;
      state.positions(pass.layer, g)[slot] = static_cast<std::int32_t>(tile.position + i);
      if (memory != PolicyMemory::none) state.memory(pass.layer, g)[slot] = 0.0f;
      if (memory != PolicyMemory::average) continue;
      state.decay_power(pass.layer, g)[slot] = 1.0f;
      state.value_norm(pass.layer, g)[slot] = pass.rows.value_norm(tile.first_row + i);
    }
  }
}

void store_row(const LayerPass& pass, const Tile& tile, std::int32_t kv, std::int64_t row,
               std::int64_t slot) {
  const CpuState& state = *tile.state;
  const AttentionModel& model = pass.model;
  if (model.layout.keeps_unrotated)
    to_storage(pass, pass.rows.key(row, kv), row_of(model, state.unrotated(pass.layer, kv), slot));
  to_storage(pass, pass.rows.rotated_key(row, kv),
             row_of(model, state.rotated(pass.layer, kv), slot));
  to_storage(pass, pass.rows.value(row, kv), row_of(model, state.values(pass.layer, kv), slot));
}

void append(const LayerPass& pass, const Tile& tile, std::int32_t kv, int thread) {
  const CpuState& state = *tile.state;
  const AttentionModel& model = pass.model;
  const std::int32_t d = model.shape.head_dim;
  rotate_again(pass, tile, kv, thread);
  for (std::int32_t i = 0; i < tile.n_queries; ++i)
    store_row(pass, tile, kv, tile.first_row + i, tile.n_state + i);
  float* keys = tile.scratch->keys_of(model, kv);
  const std::byte* rotated = state.rotated(pass.layer, kv);
  if (model.layout.storage == ComputeType::bf16) {
    pass.isa.transpose_bf16(reinterpret_cast<const std::uint16_t*>(rotated), tile.n_slots(),
                            tile.ld, d, keys, tile.ld);
  } else {
    pass.isa.transpose_f32(reinterpret_cast<const float*>(rotated), tile.n_slots(), tile.ld, d,
                           keys, tile.ld);
  }
  if (!packs_values(model)) return;
  float* values = tile.scratch->values_of(model, kv);
  std::byte* stored = state.values(pass.layer, kv);
  for (std::int32_t j = 0; j < tile.n_slots(); ++j)
    from_storage(pass, row_of(model, stored, j), values + std::int64_t{j} * model.padded_dim);
}

const float* packed_values(const LayerPass& pass, const Tile& tile, std::int32_t kv) {
  if (packs_values(pass.model)) return tile.scratch->values_of(pass.model, kv);
  return reinterpret_cast<const float*>(tile.state->values(pass.layer, kv));
}

void evict(const LayerPass& pass, const Tile& tile, std::int32_t group) {
  TileScratch& scratch = *tile.scratch;
  CpuState& state = *tile.state;
  std::int32_t& n_moves = scratch.n_moves[static_cast<std::size_t>(group)];
  n_moves = 0;
  state.rotation(pass.layer) = pass.model.wanted_rotation(tile.position);
  state.n_slots(pass.layer) = tile.n_slots();
  state.n_tokens() = tile.position + tile.n_queries;
  if (!tile.may_evict) return;
  const std::int32_t first = group * pass.model.tile_queries;
  const std::int32_t* eviction_steps = scratch.eviction_steps_of(group);
  const auto evicted = scratch.evicted.begin() + first;
  const auto n_evicted = static_cast<std::int32_t>(std::count_if(
      evicted, evicted + tile.n_queries, [](std::int32_t slot) { return slot >= 0; }));
  const std::int32_t n_left = tile.n_slots() - n_evicted;
  std::int32_t from = n_left;
  for (std::int32_t to = 0; to < n_left; ++to) {
    if (eviction_steps[to] == kLive) continue;
    while (eviction_steps[from] != kLive) ++from;
    const auto at = static_cast<std::size_t>(first + n_moves++);
    scratch.move_from[at] = from;
    scratch.move_to[at] = to;
    move_memory(pass, state, group, from, to);
    ++from;
  }
  state.n_slots(pass.layer) = n_left;
}

void compact(const LayerPass& pass, const Tile& tile, std::int32_t kv) {
  const TileScratch& scratch = *tile.scratch;
  const std::int32_t group = kv / pass.model.kv_per_group;
  for (std::int32_t i = 0; i < scratch.n_moves[static_cast<std::size_t>(group)]; ++i) {
    const auto at = static_cast<std::size_t>(group * pass.model.tile_queries + i);
    move_rows(pass, *tile.state, kv, scratch.move_from[at], scratch.move_to[at]);
  }
}

void move_memory(const LayerPass& pass, CpuState& state, std::int32_t group, std::int32_t from,
                 std::int32_t to) {
  const std::int32_t layer = pass.layer;
  state.positions(layer, group)[to] = state.positions(layer, group)[from];
  const PolicyMemory memory = pass.model.layout.memory;
  if (memory != PolicyMemory::none)
    state.memory(layer, group)[to] = state.memory(layer, group)[from];
  if (memory != PolicyMemory::average) return;
  state.decay_power(layer, group)[to] = state.decay_power(layer, group)[from];
  state.value_norm(layer, group)[to] = state.value_norm(layer, group)[from];
}

void move_rows(const LayerPass& pass, CpuState& state, std::int32_t kv, std::int32_t from,
               std::int32_t to) {
  const AttentionModel& model = pass.model;
  const auto move = [&](std::byte* head) {
    std::memcpy(row_of(model, head, to), row_of(model, head, from), model.row_bytes());
  };
  if (model.layout.keeps_unrotated) move(state.unrotated(pass.layer, kv));
  move(state.rotated(pass.layer, kv));
  move(state.values(pass.layer, kv));
}

}  // namespace tovamill::cpu
