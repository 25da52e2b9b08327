#include "kernels/cpu/attention/attention_eviction_scan.h"

#include "kernels/cpu/attention/attention_scores.h"

namespace tovamill::cpu {
namespace {

struct RestoreContext {
  const LayerPass* pass;
  const Tile* tile;
  std::int32_t first_head;
};

void restore_head(void* context, std::int32_t head_in_group, std::int32_t query) {
  const auto& c = *static_cast<const RestoreContext*>(context);
  const std::int32_t per_kv = c.pass->model.per_kv, head = c.first_head + head_in_group;
  restore_row(*c.pass, *c.tile, head / per_kv, query * per_kv + head % per_kv);
}

}  // namespace

EvictionScan eviction_scan_of(const LayerPass& pass, const Tile& tile, std::int32_t group) {
  const AttentionModel& model = pass.model;
  TileScratch& scratch = *tile.scratch;
  const CpuState& state = *tile.state;
  const PolicyMemory memory = model.layout.memory;
  const bool averages = memory == PolicyMemory::average;
  const std::int32_t first = group * model.tile_queries;
  return {.head_rows = scratch.head_rows.data() + group * model.heads_per_group,
          .ld = tile.ld,
          .n_heads = model.heads_per_group,
          .n_queries = tile.n_queries,
          .n_state = tile.n_state,
          .positions = state.positions(pass.layer, group),
          .rule = tile.rule,
          .first_decision = pass.decision_of(tile, group, 0),
          .memory = memory != PolicyMemory::none ? state.memory(pass.layer, group) : nullptr,
          .decay_power = averages ? state.decay_power(pass.layer, group) : nullptr,
          .value_norm = averages ? state.value_norm(pass.layer, group) : nullptr,
          .mean_weight = scratch.mean_weights_of(group),
          .sinks = pass.sinks.empty() ? nullptr : scratch.sinks_of(model, group),
          .eviction_step = scratch.eviction_steps_of(group),
          .inverse_sum = scratch.inverse_sums_of(model, group),
          .evicted = scratch.evicted.data() + first,
          .evicted_weight = scratch.evicted_weight.data() + first};
}

void scan_evictions(const LayerPass& pass, const Tile& tile, std::int32_t group) {
  const AttentionModel& model = pass.model;
  RestoreContext context{&pass, &tile, group * model.heads_per_group};
  for (std::int32_t head = context.first_head; head < context.first_head + model.heads_per_group;
       ++head) {
    tile.scratch->head_rows[static_cast<std::size_t>(head)] =
        tile.scratch->weight_rows(model, head / model.per_kv, tile.ld) +
        std::int64_t{head % model.per_kv} * tile.ld;
  }
  EvictionScan scan = eviction_scan_of(pass, tile, group);
  scan.query_stride = std::int64_t{model.per_kv} * tile.ld;
  scan.restore = restore_head;
  scan.restore_context = &context;
  pass.isa.scan_evictions(scan);
}

}  // namespace tovamill::cpu
