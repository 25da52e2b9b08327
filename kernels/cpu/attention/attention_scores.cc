#include "kernels/cpu/attention/attention_scores.h"

#include <algorithm>

#include "kernels/cpu/attention/attention_merge.h"

namespace tovamill::cpu {

void score_part(const LayerPass& pass, const Tile& tile, std::int32_t kv, std::int32_t part) {
  const AttentionModel& model = pass.model;
  const PartOfTile queries(model, tile, part);
  const std::int32_t begin = queries.first * model.per_kv, end = queries.end * model.per_kv;
  const float* keys = tile.scratch->keys_of(model, kv);
  float* rows = tile.scratch->weight_rows(model, kv, tile.ld);
  const auto slots = static_cast<std::int32_t>(pad_slots(tile.n_state + queries.end));
  const float* a[kPartRows];
  for (std::int32_t r = begin; r < end; r += kPartRows) {
    const std::int32_t n = std::min(kPartRows, end - r);
    for (std::int32_t i = 0; i < n; ++i) a[i] = pass.query(tile, kv, r + i);
    pass.isa.multiply(a, n, model.shape.head_dim, keys, tile.ld, slots,
                      rows + std::int64_t{r} * tile.ld, tile.ld);
  }
  const std::int32_t* positions = pass.hiding_positions(tile, kv);
  for (std::int32_t r = begin; r < end; ++r) {
    const std::int32_t query = r / model.per_kv;
    add_score_biases(pass, tile, kv, rows + std::int64_t{r} * tile.ld);
    pass.cap_scores(rows + std::int64_t{r} * tile.ld, tile.n_state + query + 1);
    pass.isa.exponentiate(rows + std::int64_t{r} * tile.ld, tile.n_state + query + 1, tile.ld,
                          pass.scale, positions, pass.hidden_below(tile.position + query), nullptr,
                          0, pass.kept_sink_of(tile, kv, r));
  }
}

void restore_row(const LayerPass& pass, const Tile& tile, std::int32_t kv, std::int32_t row) {
  const AttentionModel& model = pass.model;
  const std::int32_t query = row / model.per_kv;
  const float* a = pass.query(tile, kv, row);
  float* weights = tile.scratch->weight_rows(model, kv, tile.ld) + std::int64_t{row} * tile.ld;
  pass.isa.multiply(&a, 1, model.shape.head_dim, tile.scratch->keys_of(model, kv), tile.ld, tile.ld,
                    weights, tile.ld);
  add_score_biases(pass, tile, kv, weights);
  pass.cap_scores(weights, tile.n_state + query + 1);
  pass.isa.exponentiate(weights, tile.n_state + query + 1, tile.ld, pass.scale,
                        pass.hiding_positions(tile, kv), pass.hidden_below(tile.position + query),
                        tile.scratch->eviction_steps_of(kv / model.kv_per_group), query,
                        pass.kept_sink_of(tile, kv, row));
}

}  // namespace tovamill::cpu
