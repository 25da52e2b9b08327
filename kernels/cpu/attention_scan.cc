// Scores, scan and values of policies that decide by the attention weights.

#include <algorithm>

#include "kernels/cpu/attention_tile.h"

namespace tovamill::cpu {

struct Attention::RestoreContext {
  const Attention* attention;
  const Tile* tile;
  const std::int32_t* positions;
  const std::int32_t* death;
  std::int32_t first_head;
};

// Positions at or below this are outside the model's sliding window for the query at `position`.
std::int32_t Attention::hidden_below(std::int64_t position) const {
  return static_cast<std::int32_t>(position - shape_.sliding_window);
}

std::int32_t Attention::n_parts(const Tile& tile) const {
  return (tile.n_steps + part_steps_ - 1) / part_steps_;
}

float* Attention::weight_rows(const Slot& slot, std::int32_t ld, std::int32_t kv) const {
  return reinterpret_cast<float*>(slot.weights.data()) +
         static_cast<std::int64_t>(kv) * tile_ * per_kv_ * ld;
}

std::int32_t* Attention::death(const Slot& slot, std::int32_t group) const {
  return reinterpret_cast<std::int32_t*>(slot.policy.data()) +
         static_cast<std::int64_t>(group) * columns_;
}

// Row `row` of a tile's (n_steps, queries of a KV head).
const float* Attention::query(const Tile& tile, std::int32_t kv, std::int32_t row) const {
  const std::int64_t stride = shape_.q_size() + 2 * shape_.kv_size();
  return qkv_ + (tile.first_row + row / per_kv_) * stride +
         (kv * per_kv_ + row % per_kv_) * shape_.head_dim;
}

// Weights of one part's queries against all columns, relative to each row's highest.
void Attention::score(std::int32_t layer, const Tile& tile, std::int32_t kv, std::int32_t part) {
  const std::int32_t first = part * part_steps_, last = std::min(first + part_steps_, tile.n_steps);
  const std::int32_t begin = first * per_kv_, end = last * per_kv_, d = shape_.head_dim;
  const float* keys = reinterpret_cast<const float*>(tile.slot->keys.data()) +
                      static_cast<std::int64_t>(kv) * d * columns_;
  float* rows = weight_rows(*tile.slot, tile.ld, kv);
  const auto columns = static_cast<std::int32_t>(pad_columns(tile.n_state + last));
  const float* a[kPartRows];
  for (std::int32_t r = begin; r < end; r += kPartRows) {
    const std::int32_t n = std::min(kPartRows, end - r);
    for (std::int32_t i = 0; i < n; ++i) a[i] = query(tile, kv, r + i);
    isa_.multiply(a, n, d, keys, tile.ld, columns, rows + static_cast<std::int64_t>(r) * tile.ld,
                  tile.ld);
  }
  const std::int32_t* positions =
      shape_.sliding_window > 0 ? tile.state->positions(layer, kv / kv_per_group_) : nullptr;
  for (std::int32_t r = begin; r < end; ++r) {
    const std::int32_t step = r / per_kv_;
    isa_.exponentiate(rows + static_cast<std::int64_t>(r) * tile.ld, tile.n_state + step + 1,
                      tile.ld, scale_, positions, hidden_below(tile.position + step), nullptr, 0);
  }
}

// All of the scan's input and output but the weights and how a row is restored.
ScanTile Attention::scan_tile(std::int32_t layer, const Tile& tile, std::int32_t group) const {
  Slot& slot = *tile.slot;
  const CpuState& state = *tile.state;
  const std::int64_t scratch = static_cast<std::int64_t>(groups_) * columns_;
  auto* floats = reinterpret_cast<float*>(slot.policy.data());
  return {.ld = tile.ld,
          .n_heads = heads_per_group_,
          .n_steps = tile.n_steps,
          .n_state = tile.n_state,
          .first_position = static_cast<std::int32_t>(tile.position),
          .positions = state.positions(layer, group),
          .rule = decision_rule(cache_, block_of(tile)),
          .layer = layer,
          .group = group,
          .memory = layout_.remembers ? state.memory(layer, group) : nullptr,
          .decay_power = layout_.averages ? state.decay_power(layer, group) : nullptr,
          .value_norm = layout_.averages ? state.value_norm(layer, group) : nullptr,
          .mean_weight = floats + scratch + static_cast<std::int64_t>(group) * columns_,
          .death = death(slot, group),
          .inverse_sum =
              floats + 2 * scratch + static_cast<std::int64_t>(group) * tile_ * heads_per_group_,
          .evicted = slot.evicted.data() + static_cast<std::int64_t>(group) * tile_,
          .evicted_weight = slot.evicted_weight.data() + static_cast<std::int64_t>(group) * tile_};
}

void Attention::scan(std::int32_t layer, const Tile& tile, std::int32_t group) {
  const Slot& slot = *tile.slot;
  RestoreContext context{this, &tile, tile.state->positions(layer, group), death(slot, group),
                         group * heads_per_group_};
  float* weights[1024];
  for (std::int32_t h = 0; h < heads_per_group_; ++h) {
    const std::int32_t head = group * heads_per_group_ + h;
    weights[h] = weight_rows(slot, tile.ld, head / per_kv_) +
                 static_cast<std::int64_t>(head % per_kv_) * tile.ld;
  }
  ScanTile t = scan_tile(layer, tile, group);
  t.weights = weights;
  t.step_stride = static_cast<std::int64_t>(per_kv_) * tile.ld;
  t.restore = [](void* c, std::int32_t head, std::int32_t step) {
    const auto& r = *static_cast<RestoreContext*>(c);
    r.attention->restore(r, head, step);
  };
  t.restore_context = &context;
  isa_.scan(t);
}

// A row of weights anew, relative to the highest score among the living.
void Attention::restore(const RestoreContext& r, std::int32_t head, std::int32_t step) const {
  const Tile& tile = *r.tile;
  const std::int32_t h = r.first_head + head, kv = h / per_kv_, row = step * per_kv_ + h % per_kv_;
  const float* from = query(tile, kv, row);
  float* weights = weight_rows(*tile.slot, tile.ld, kv) + static_cast<std::int64_t>(row) * tile.ld;
  const float* keys = reinterpret_cast<const float*>(tile.slot->keys.data()) +
                      static_cast<std::int64_t>(kv) * shape_.head_dim * columns_;
  isa_.multiply(&from, 1, shape_.head_dim, keys, tile.ld, tile.ld, weights, tile.ld);
  isa_.exponentiate(weights, tile.n_state + step + 1, tile.ld, scale_,
                    shape_.sliding_window > 0 ? r.positions : nullptr,
                    hidden_below(tile.position + step), r.death, step);
}

void Attention::write_out(const Tile& tile, std::int32_t kv, std::int32_t row, const float* sums,
                          float factor, void* out) const {
  const std::int64_t at =
      static_cast<std::int64_t>(tile.first_row + row / per_kv_) * shape_.q_size() +
      (kv * per_kv_ + row % per_kv_) * shape_.head_dim;
  if (type_ == ComputeType::bf16) {
    isa_.scale_bf16(sums, factor, shape_.head_dim, static_cast<std::uint16_t*>(out) + at);
  } else {
    isa_.scale(sums, factor, shape_.head_dim, static_cast<float*>(out) + at);
  }
}

// Softmax over the living, times the values.
void Attention::weigh_values(std::int32_t layer, const Tile& tile, std::int32_t kv,
                             std::int32_t part, void* out, int thread) {
  ThreadScratch& scratch = scratch_[static_cast<std::size_t>(thread)];
  float* panel = reinterpret_cast<float*>(scratch.weights.data());
  float* sums = reinterpret_cast<float*>(scratch.rows.data());
  const std::int32_t first = part * part_steps_, last = std::min(first + part_steps_, tile.n_steps);
  const float* rows = weight_rows(*tile.slot, tile.ld, kv);
  const std::int32_t* deaths = death(*tile.slot, kv / kv_per_group_);
  const float* values = packed_values(layer, tile, kv);
  for (std::int32_t r = first * per_kv_; r < last * per_kv_; r += kPanelRows) {
    const std::int32_t n = std::min(kPanelRows, last * per_kv_ - r);
    const std::int32_t depth = tile.n_state + (r + n - 1) / per_kv_ + 1;
    const float* a[kPanelRows];
    float total[kPanelRows];
    for (std::int32_t i = 0; i < n; ++i) {
      a[i] = panel + static_cast<std::int64_t>(i) * tile.ld;
      total[i] = isa_.mask(rows + static_cast<std::int64_t>(r + i) * tile.ld, deaths,
                           (r + i) / per_kv_, static_cast<std::int32_t>(pad_columns(depth)),
                           panel + static_cast<std::int64_t>(i) * tile.ld);
    }
    isa_.multiply(a, n, depth, values, padded_dim_, padded_dim_, sums, padded_dim_);
    for (std::int32_t i = 0; i < n; ++i) {
      write_out(tile, kv, r + i, sums + static_cast<std::int64_t>(i) * padded_dim_, 1.0f / total[i],
                out);
    }
  }
}

}  // namespace tovamill::cpu
