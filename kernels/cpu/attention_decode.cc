// Blocks of one token: generation. One query a head needs no tile: a thread takes a whole stream,
// joins its token to the state, reads each key once for the queries of its KV head, then each value
// once, straight from the rows as they are stored, and lets the policy drop what has no place.
//
// Bytes moved a layer and stream: 2 * n_columns * kv_size * (2 in bf16, 4 in float32), and the keys
// twice more where their rotation changes, every 256 tokens.

#include <algorithm>
#include <cmath>

#include "kernels/cpu/attention_tile.h"

namespace tovamill::cpu {

void Attention::decode(std::int32_t layer, std::size_t block, void* out, BlockEvents& events,
                       int thread) {
  const StepBlock& b = blocks_[block];
  CpuState& state = *static_cast<CpuState*>(b.state);
  Tile tile{.state = &state,
            .slot = &slots_[static_cast<std::size_t>(thread)],
            .first_row = b.first_row,
            .n_steps = 1,
            .position = b.position,
            .n_state = 0,
            .ld = 0,
            .pin = b.pin,
            .keeps_all = b.keeps_all};
  events.evictions.clear();
  events.n_attended = 0;
  join(layer, tile);
  for (std::int32_t kv = 0; kv < shape_.n_kv_heads; ++kv) decode_head(layer, tile, kv, out, thread);
  state.rotation(layer) = wanted_rotation(tile.position);
  state.n_tokens() = tile.position + 1;
  std::int32_t n_left = tile.n_columns();
  for (std::int32_t g = 0; g < groups_; ++g) {
    const std::int32_t* positions = state.positions(layer, g);
    events.n_attended += static_cast<std::uint64_t>(
        shape_.sliding_window <= 0
            ? tile.n_columns()
            : std::count_if(positions, positions + tile.n_columns(),
                            [&](std::int32_t p) { return p > hidden_below(tile.position); }));
    if (may_drop(tile)) n_left = decode_drops(layer, tile, g, events, thread);
  }
  state.n_columns(layer) = n_left;
}

// Scores, softmax and values of the queries of one KV head; their weights stay in the slot,
// (n_heads, ld) relative to each head's highest.
void Attention::decode_head(std::int32_t layer, const Tile& tile, std::int32_t kv, void* out,
                            int thread) {
  ThreadScratch& scratch = scratch_[static_cast<std::size_t>(thread)];
  const CpuState& state = *tile.state;
  const std::int32_t d = shape_.head_dim, n = tile.n_columns();
  if (state.rotation(layer) != wanted_rotation(tile.position))
    refresh_rotation(layer, tile, kv, thread);
  store_row(layer, tile, kv, tile.first_row, tile.n_state);
  float* weights = decode_weights(tile, kv * per_kv_);
  const std::byte *keys = state.rotated(layer, kv), *values = state.values(layer, kv);
  float* sums = reinterpret_cast<float*>(scratch.rows.data());
  if (storage_ == ComputeType::bf16) {
    isa_.dot_rows_bf16(query(tile, kv, 0), per_kv_, d, reinterpret_cast<const std::uint16_t*>(keys),
                       n, weights, tile.ld);
  } else {
    isa_.dot_rows_f32(query(tile, kv, 0), per_kv_, d, reinterpret_cast<const float*>(keys), n,
                      weights, tile.ld);
  }
  const std::int32_t* positions =
      shape_.sliding_window > 0 ? state.positions(layer, kv / kv_per_group_) : nullptr;
  float* inverse_sum = scratch.inverse_sum.data() + kv * per_kv_;
  for (std::int32_t q = 0; q < per_kv_; ++q) {
    inverse_sum[q] =
        1.0f / isa_.exponentiate(weights + static_cast<std::int64_t>(q) * tile.ld, n, tile.ld,
                                 scale_, positions, hidden_below(tile.position), nullptr, 0);
  }
  if (storage_ == ComputeType::bf16) {
    isa_.add_rows_bf16(weights, tile.ld, per_kv_, reinterpret_cast<const std::uint16_t*>(values), n,
                       d, sums, padded_dim_);
  } else {
    isa_.add_rows_f32(weights, tile.ld, per_kv_, reinterpret_cast<const float*>(values), n, d, sums,
                      padded_dim_);
  }
  for (std::int32_t q = 0; q < per_kv_; ++q) {
    write_out(tile, kv, q, sums + static_cast<std::int64_t>(q) * padded_dim_, inverse_sum[q], out);
  }
}

// Of one head.
float* Attention::decode_weights(const Tile& tile, std::int32_t head) const {
  return reinterpret_cast<float*>(tile.slot->weights.data()) +
         static_cast<std::int64_t>(head) * tile.ld;
}

// Mean over all heads of the weights of one column.
float Attention::mean_weight(const Tile& tile, std::int32_t column, int thread) const {
  const float* inverse_sum = scratch_[static_cast<std::size_t>(thread)].inverse_sum.data();
  double sum = 0.0;
  for (std::int32_t h = 0; h < shape_.n_heads; ++h)
    sum += static_cast<double>(decode_weights(tile, h)[column] * inverse_sum[h]);
  return static_cast<float>(sum / shape_.n_heads);
}

// Lets the tokens go that a group has no place for, tells who they are, returns how many stay.
std::int32_t Attention::decode_drops(std::int32_t layer, const Tile& tile, std::int32_t group,
                                     BlockEvents& events, int thread) {
  std::vector<std::int32_t>& dropped = scratch_[static_cast<std::size_t>(thread)].dropped;
  const std::int32_t n_drops = std::max(0, tile.n_columns() - cache_.cache_size);
  const std::int32_t* positions = tile.state->positions(layer, group);
  const float* mean = nullptr;
  if (needs_scan(cache_.policy) && (n_drops > 0 || layout_.remembers)) {
    float* weights[1024];
    for (std::int32_t h = 0; h < heads_per_group_; ++h)
      weights[h] = decode_weights(tile, group * heads_per_group_ + h);
    ScanTile t = scan_tile(layer, tile, group);
    t.weights = weights;
    // The rows are relative to their highest living column already.
    t.restore = [](void*, std::int32_t, std::int32_t) {};
    isa_.scan(t);
    mean = t.mean_weight;
  }
  if (n_drops == 0) return tile.n_columns();
  dropped.clear();
  if (n_drops == 1 && mean != nullptr) {
    const std::int32_t lowest = tile.slot->evicted[static_cast<std::size_t>(group * tile_)];
    if (lowest >= 0) dropped.push_back(lowest);
  } else {
    choose_lowest(layer, tile, group, mean, n_drops, dropped);
  }
  for (const std::int32_t column : dropped) {
    events.evictions.push_back(
        {.position = positions[column],
         .step = static_cast<std::int32_t>(tile.position),
         .group = group,
         .weight = mean != nullptr ? mean[column] : mean_weight(tile, column, thread)});
  }
  close_gaps(layer, tile, group, dropped);
  return tile.n_columns() - static_cast<std::int32_t>(dropped.size());
}

// The columns that leave if `n_drops` do, in order of leaves_before. Scores do not change between
// drops after one query, so this is one after another.
void Attention::choose_lowest(std::int32_t layer, const Tile& tile, std::int32_t group,
                              const float* mean, std::int32_t n_drops,
                              std::vector<std::int32_t>& chosen) const {
  const DecisionRule rule = decision_rule(cache_, block_of(tile));
  const CpuState& state = *tile.state;
  const std::int32_t* positions = state.positions(layer, group);
  const Decision decision{static_cast<std::int32_t>(tile.position), layer, group};
  std::vector<Candidate> candidates;
  for (std::int32_t j = 0; j < tile.n_columns(); ++j) {
    if (!may_leave(rule, positions[j], decision.now)) continue;
    TokenMemory memory;
    if (layout_.remembers) memory.sum = state.memory(layer, group)[j];
    if (layout_.averages) {
      memory.decay_power = state.decay_power(layer, group)[j];
      memory.value_norm = state.value_norm(layer, group)[j];
    }
    const float weight = mean != nullptr ? mean[j] : 0.0f;
    candidates.push_back(
        {score_of(rule, decision, {weight, positions[j], memory}), positions[j], j});
  }
  const auto n = std::min(static_cast<std::ptrdiff_t>(n_drops),
                          static_cast<std::ptrdiff_t>(candidates.size()));
  std::partial_sort(candidates.begin(), candidates.begin() + n, candidates.end(), leaves_before);
  for (std::ptrdiff_t i = 0; i < n; ++i)
    chosen.push_back(candidates[static_cast<std::size_t>(i)].column);
}

// As `leave` and `compact` do: survivors from the end take the places of those that left.
void Attention::close_gaps(std::int32_t layer, const Tile& tile, std::int32_t group,
                           std::span<const std::int32_t> dropped) const {
  CpuState& state = *tile.state;
  const std::int32_t n_left = tile.n_columns() - static_cast<std::int32_t>(dropped.size());
  const auto move = [&](std::int32_t from, std::int32_t to) {
    move_memory(state, layer, group, from, to);
    for (std::int32_t kv = group * kv_per_group_; kv < (group + 1) * kv_per_group_; ++kv)
      move_rows(state, layer, kv, from, to);
  };
  if (dropped.size() == 1) {
    if (dropped[0] != n_left) move(n_left, dropped[0]);
    return;
  }
  std::int32_t* deaths = death(*tile.slot, group);
  std::fill_n(deaths, tile.n_columns(), kAlive);
  for (const std::int32_t column : dropped) deaths[column] = 0;
  for (std::int32_t to = 0, from = n_left; to < n_left; ++to) {
    if (deaths[to] == kAlive) continue;
    while (deaths[from] != kAlive) ++from;
    move(from++, to);
  }
}

}  // namespace tovamill::cpu
