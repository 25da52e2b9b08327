// Attention where deaths are known beforehand: `window`, `full` and blocks in which nothing leaves.

#include <algorithm>

#include "kernels/cpu/attention_tile.h"

namespace tovamill::cpu {

// Scores, softmax and values in one go where deaths are known beforehand.
void Attention::attend_unscanned(std::int32_t layer, const Tile& tile, std::int32_t kv,
                                 std::int32_t part, void* out, int thread) {
  ThreadScratch& scratch = scratch_[static_cast<std::size_t>(thread)];
  float* weights = reinterpret_cast<float*>(scratch.weights.data());
  float* sums = reinterpret_cast<float*>(scratch.rows.data());
  const std::int32_t first = part * part_steps_, last = std::min(first + part_steps_, tile.n_steps);
  const std::int32_t d = shape_.head_dim, group = kv / kv_per_group_;
  const float* keys = reinterpret_cast<const float*>(tile.slot->keys.data()) +
                      static_cast<std::int64_t>(kv) * d * columns_;
  const std::int32_t* positions =
      shape_.sliding_window > 0 ? tile.state->positions(layer, group) : nullptr;
  const std::int32_t* deaths = may_drop(tile) ? death(*tile.slot, group) : nullptr;
  const float* values = packed_values(layer, tile, kv);
  for (std::int32_t r = first * per_kv_; r < last * per_kv_; r += kPartRows) {
    const std::int32_t n = std::min(kPartRows, last * per_kv_ - r);
    const std::int32_t depth = tile.n_state + (r + n - 1) / per_kv_ + 1;
    const float* a[kPartRows];
    float total[kPartRows];
    for (std::int32_t i = 0; i < n; ++i) a[i] = query(tile, kv, r + i);
    isa_.multiply(a, n, d, keys, tile.ld, static_cast<std::int32_t>(pad_columns(depth)), weights,
                  tile.ld);
    for (std::int32_t i = 0; i < n; ++i) {
      float* row = weights + static_cast<std::int64_t>(i) * tile.ld;
      const std::int32_t step = (r + i) / per_kv_;
      total[i] = isa_.exponentiate(row, tile.n_state + step + 1,
                                   static_cast<std::int32_t>(pad_columns(depth)), scale_, positions,
                                   hidden_below(tile.position + step), deaths, step);
      const std::int32_t evicted =
          deaths != nullptr ? tile.slot->evicted[static_cast<std::size_t>(step)] : -1;
      if (evicted >= 0) {
        tile.slot->head_weight[static_cast<std::size_t>(kv * tile_ + step)] +=
            static_cast<double>(row[evicted] / total[i]);
      }
      a[i] = row;
    }
    isa_.multiply(a, n, depth, values, padded_dim_, padded_dim_, sums, padded_dim_);
    for (std::int32_t i = 0; i < n; ++i) {
      write_out(tile, kv, r + i, sums + static_cast<std::int64_t>(i) * padded_dim_, 1.0f / total[i],
                out);
    }
  }
}

// `window`: token j is attended up to step j + k (sinks take their places from the k), sinks for
// ever.
void Attention::plan_window_deaths(std::int32_t layer, const Tile& tile) {
  Slot& slot = *tile.slot;
  std::fill(slot.evicted.begin(), slot.evicted.end(), -1);
  std::fill(slot.head_weight.begin(), slot.head_weight.end(), 0.0);
  if (!may_drop(tile)) return;
  const std::int32_t* positions = tile.state->positions(layer, 0);
  const std::int32_t sinks = block_options(cache_, tile.pin).sinks;
  std::int32_t* deaths = death(slot, 0);
  for (std::int32_t j = 0; j < tile.ld; ++j) {
    deaths[j] = j < tile.n_columns() ? kAlive : -1;
    if (j >= tile.n_columns() || positions[j] < sinks) continue;
    const std::int64_t step =
        positions[j] + static_cast<std::int64_t>(cache_.cache_size - sinks) - tile.position;
    if (step >= tile.n_steps) continue;
    deaths[j] = static_cast<std::int32_t>(step);
    slot.evicted[static_cast<std::size_t>(step)] = j;
  }
}

}  // namespace tovamill::cpu
