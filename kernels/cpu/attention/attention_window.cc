#include "kernels/cpu/attention/attention_window.h"

#include <algorithm>

#include "kernels/cpu/attention/attention_state.h"

namespace tovamill::cpu {

void plan_evictions(const LayerPass& pass, const Tile& tile) {
  TileScratch& scratch = *tile.scratch;
  std::fill(scratch.evicted.begin(), scratch.evicted.end(), -1);
  std::fill(scratch.head_weight.begin(), scratch.head_weight.end(), 0.0);
  if (!tile.may_evict) return;
  const std::int32_t* positions = tile.state->positions(pass.layer, 0);
  const std::int32_t sinks = tile.rule.first_free;
  std::int32_t* eviction_steps = scratch.eviction_steps_of(0);
  for (std::int32_t j = 0; j < tile.ld; ++j) {
    eviction_steps[j] = j < tile.n_slots() ? kLive : -1;
    if (j >= tile.n_slots() || positions[j] < sinks) continue;
    const std::int64_t step =
        positions[j] + static_cast<std::int64_t>(tile.rule.cache_size - sinks) - tile.position;
    if (step >= tile.n_queries) continue;
    eviction_steps[j] = static_cast<std::int32_t>(step);
    scratch.evicted[static_cast<std::size_t>(step)] = j;
  }
}

void attend_planned_part(const LayerPass& pass, const Tile& tile, std::int32_t kv,
                         std::int32_t part, int thread) {
  const AttentionModel& model = pass.model;
  const PartOfTile queries(model, tile, part);
  const ThreadScratch& scratch = pass.scratch(thread);
  float *weights = scratch.panel_rows(), *sums = scratch.row_sums();
  const std::int32_t* eviction_steps =
      tile.may_evict ? tile.scratch->eviction_steps_of(kv / model.kv_per_group) : nullptr;
  const std::int32_t* positions = pass.hiding_positions(tile, kv);
  const std::int32_t end = queries.end * model.per_kv, d = model.shape.head_dim;
  for (std::int32_t r = queries.first * model.per_kv; r < end; r += kPartRows) {
    const std::int32_t n = std::min(kPartRows, end - r);
    const std::int32_t depth = tile.n_state + (r + n - 1) / model.per_kv + 1;
    const auto padded = static_cast<std::int32_t>(pad_slots(depth));
    const float* a[kPartRows];
    float total[kPartRows];
    for (std::int32_t i = 0; i < n; ++i) a[i] = pass.query(tile, kv, r + i);
    pass.isa.multiply(a, n, d, tile.scratch->keys_of(model, kv), tile.ld, padded, weights, tile.ld);
    for (std::int32_t i = 0; i < n; ++i) {
      float* row = weights + std::int64_t{i} * tile.ld;
      const std::int32_t query = (r + i) / model.per_kv;
      pass.cap_scores(row, tile.n_state + query + 1);
      RowSink sink;
      total[i] = pass.isa.exponentiate(row, tile.n_state + query + 1, padded, pass.scale, positions,
                                       pass.hidden_below(tile.position + query), eviction_steps,
                                       query, pass.sink_of(kv, r + i, sink));
      a[i] = row;
      const std::int32_t evicted =
          tile.may_evict ? tile.scratch->evicted[static_cast<std::size_t>(query)] : -1;
      if (evicted < 0) continue;
      tile.scratch->head_weight[static_cast<std::size_t>(kv * model.tile_queries + query)] +=
          static_cast<double>(row[evicted] / total[i]);
    }
    pass.isa.multiply(a, n, depth, packed_values(pass, tile, kv), model.padded_dim,
                      model.padded_dim, sums, model.padded_dim);
    for (std::int32_t i = 0; i < n; ++i)
      pass.write_out(tile, kv, r + i, sums + std::int64_t{i} * model.padded_dim, 1.0f / total[i]);
  }
}

}  // namespace tovamill::cpu
