#include "kernels/cpu/attention/attention_weighted_sum.h"

#include <algorithm>

#include "kernels/cpu/attention/attention_state.h"

namespace tovamill::cpu {

void weighted_sum_of_part(const LayerPass& pass, const Tile& tile, std::int32_t kv,
                          std::int32_t part, int thread) {
  const AttentionModel& model = pass.model;
  const PartOfTile queries(model, tile, part);
  const ThreadScratch& scratch = pass.scratch(thread);
  float *panel = scratch.panel_rows(), *sums = scratch.row_sums();
  const float* rows = tile.scratch->weight_rows(model, kv, tile.ld);
  const std::int32_t* eviction_steps = tile.scratch->eviction_steps_of(kv / model.kv_per_group);
  const float* values = packed_values(pass, tile, kv);
  const std::int32_t end = queries.end * model.per_kv;
  for (std::int32_t r = queries.first * model.per_kv; r < end; r += kPanelRows) {
    const std::int32_t n = std::min(kPanelRows, end - r);
    const std::int32_t depth = tile.n_state + (r + n - 1) / model.per_kv + 1;
    const float* a[kPanelRows];
    float total[kPanelRows];
    for (std::int32_t i = 0; i < n; ++i) {
      float* masked = panel + std::int64_t{i} * tile.ld;
      a[i] = masked;
      total[i] = pass.isa.mask(rows + std::int64_t{r + i} * tile.ld, eviction_steps,
                               (r + i) / model.per_kv, static_cast<std::int32_t>(pad_slots(depth)),
                               masked);
      if (const RowSink* sink = pass.kept_sink_of(tile, kv, r + i)) total[i] += sink->term;
    }
    pass.isa.multiply(a, n, depth, values, model.padded_dim, model.padded_dim, sums,
                      model.padded_dim);
    for (std::int32_t i = 0; i < n; ++i)
      pass.write_out(tile, kv, r + i, sums + std::int64_t{i} * model.padded_dim, 1.0f / total[i]);
  }
}

}  // namespace tovamill::cpu
