#include "kernels/cpu/attention/attention_decode.h"

#include <algorithm>

#include "kernels/cpu/attention/attention_eviction_scan.h"
#include "kernels/cpu/attention/attention_merge.h"
#include "kernels/cpu/attention/attention_rotate.h"
#include "kernels/cpu/attention/attention_state.h"

namespace tovamill::cpu {
namespace {

// weights (per_kv, ld) = queries . keys of a KV head.
void score_head(const LayerPass& pass, const Tile& tile, std::int32_t kv, float* weights) {
  const AttentionModel& model = pass.model;
  const float* queries = pass.query(tile, kv, 0);
  const std::byte* keys = tile.state->rotated(pass.layer, kv);
  if (model.layout.storage == ComputeType::bf16) {
    pass.isa.dot_rows_bf16(queries, model.per_kv, model.shape.head_dim,
                           reinterpret_cast<const std::uint16_t*>(keys), tile.n_slots(), weights,
                           tile.ld);
  } else {
    pass.isa.dot_rows_f32(queries, model.per_kv, model.shape.head_dim,
                          reinterpret_cast<const float*>(keys), tile.n_slots(), weights, tile.ld);
  }
}

// sums (per_kv, padded_dim) = weights . values of a KV head.
void sum_values(const LayerPass& pass, const Tile& tile, std::int32_t kv, const float* weights,
                float* sums) {
  const AttentionModel& model = pass.model;
  const std::byte* values = tile.state->values(pass.layer, kv);
  if (model.layout.storage == ComputeType::bf16) {
    pass.isa.add_rows_bf16(weights, tile.ld, model.per_kv,
                           reinterpret_cast<const std::uint16_t*>(values), tile.n_slots(),
                           model.shape.head_dim, sums, model.padded_dim);
  } else {
    pass.isa.add_rows_f32(weights, tile.ld, model.per_kv, reinterpret_cast<const float*>(values),
                          tile.n_slots(), model.shape.head_dim, sums, model.padded_dim);
  }
}

// Scores, softmax and weighted sums of a KV head; the weights stay in the scratch, (n_heads, ld)
// relative to each head's highest.
void attend_head(const LayerPass& pass, const Tile& tile, std::int32_t kv, int thread) {
  const AttentionModel& model = pass.model;
  ThreadScratch& scratch = pass.scratch(thread);
  rotate_again(pass, tile, kv, thread);
  store_row(pass, tile, kv, tile.first_row, tile.n_state);
  float* weights = tile.scratch->head_weights(kv * model.per_kv, tile.ld);
  score_head(pass, tile, kv, weights);
  for (std::int32_t q = 0; q < model.per_kv; ++q)
    add_score_biases(pass, tile, kv, weights + std::int64_t{q} * tile.ld);
  float* inverse_sum = scratch.inverse_sum.data() + kv * model.per_kv;
  for (std::int32_t q = 0; q < model.per_kv; ++q) {
    pass.cap_scores(weights + std::int64_t{q} * tile.ld, tile.n_slots());
    inverse_sum[q] =
        1.0f / pass.isa.exponentiate(weights + std::int64_t{q} * tile.ld, tile.n_slots(), tile.ld,
                                     pass.scale, pass.hiding_positions(tile, kv),
                                     pass.hidden_below(tile.position), nullptr, 0,
                                     pass.kept_sink_of(tile, kv, q));
  }
  float* sums = scratch.row_sums();
  sum_values(pass, tile, kv, weights, sums);
  for (std::int32_t q = 0; q < model.per_kv; ++q)
    pass.write_out(tile, kv, q, sums + std::int64_t{q} * model.padded_dim, inverse_sum[q]);
}

// The mean over all heads of the weights of one slot, where no scan has made it.
float mean_weight(const LayerPass& pass, const Tile& tile, std::int32_t slot, int thread) {
  const std::vector<float>& inverse_sum = pass.scratch(thread).inverse_sum;
  const std::int32_t n_heads = pass.model.shape.n_heads;
  double sum = 0.0;
  for (std::int32_t h = 0; h < n_heads; ++h)
    sum += static_cast<double>(tile.scratch->head_weights(h, tile.ld)[slot] *
                               inverse_sum[static_cast<std::size_t>(h)]);
  return static_cast<float>(sum / n_heads);
}

// The mean weights of a group's slots, taken into what the policy remembers; the slot that leaves,
// if one has to, into TileScratch::evicted.
void scan_one(const LayerPass& pass, const Tile& tile, std::int32_t group) {
  const std::int32_t first = group * pass.model.heads_per_group;
  for (std::int32_t h = first; h < first + pass.model.heads_per_group; ++h)
    tile.scratch->head_rows[static_cast<std::size_t>(h)] = tile.scratch->head_weights(h, tile.ld);
  EvictionScan scan = eviction_scan_of(pass, tile, group);
  // The rows are relative to their highest live slot already.
  scan.restore = [](void*, std::int32_t, std::int32_t) {};
  pass.isa.scan_evictions(scan);
}

// The slots that leave if `n_drops` do, in order. Scores do not change between drops after one
// query, so this is one after another.
void choose_lowest(const LayerPass& pass, const Tile& tile, std::int32_t group,
                   std::int32_t n_drops, std::vector<Candidate>& chosen) {
  const CpuState& state = *tile.state;
  const PolicyMemory memory = pass.model.layout.memory;
  const std::int32_t* positions = state.positions(pass.layer, group);
  const float* weights = tile.scratch->mean_weights_of(group);
  const Decision decision = pass.decision_of(tile, group, 0);
  chosen.clear();
  for (std::int32_t j = 0; j < tile.n_slots(); ++j) {
    if (!may_leave(tile.rule, positions[j], decision.now)) continue;
    TokenMemory kept;
    if (memory != PolicyMemory::none) kept.sum = state.memory(pass.layer, group)[j];
    if (memory == PolicyMemory::average) {
      kept.decay_power = state.decay_power(pass.layer, group)[j];
      kept.value_norm = state.value_norm(pass.layer, group)[j];
    }
    chosen.push_back(
        {score_of(tile.rule, decision, {weights[j], positions[j], kept}), positions[j], j});
  }
  const std::ptrdiff_t n =
      std::min(std::ptrdiff_t{n_drops}, static_cast<std::ptrdiff_t>(chosen.size()));
  std::partial_sort(chosen.begin(), chosen.begin() + n, chosen.end(), leaves_before);
  chosen.resize(static_cast<std::size_t>(n));
}

// As `evict` and `compact` do: survivors from the end fill the slots of the evicted.
void close_gaps(const LayerPass& pass, const Tile& tile, std::int32_t group,
                std::span<const Candidate> dropped) {
  CpuState& state = *tile.state;
  const std::int32_t kv_per_group = pass.model.kv_per_group;
  const std::int32_t n_left = tile.n_slots() - static_cast<std::int32_t>(dropped.size());
  const auto move = [&](std::int32_t from, std::int32_t to) {
    move_memory(pass, state, group, from, to);
    for (std::int32_t kv = group * kv_per_group; kv < (group + 1) * kv_per_group; ++kv)
      move_rows(pass, state, kv, from, to);
  };
  if (dropped.size() == 1) {
    if (dropped[0].slot != n_left) move(n_left, dropped[0].slot);
    return;
  }
  std::int32_t* eviction_steps = tile.scratch->eviction_steps_of(group);
  std::fill_n(eviction_steps, tile.n_slots(), kLive);
  for (const Candidate& c : dropped) eviction_steps[c.slot] = 0;
  for (std::int32_t to = 0, from = n_left; to < n_left; ++to) {
    if (eviction_steps[to] == kLive) continue;
    while (eviction_steps[from] != kLive) ++from;
    move(from++, to);
  }
}

// Lets the tokens go that a group has no place for, tells who they are, returns how many stay.
std::int32_t drop_tokens(const LayerPass& pass, const Tile& tile, std::int32_t group,
                         BlockEvents& events, int thread) {
  const AttentionModel& model = pass.model;
  const std::int32_t n_drops = std::max(0, tile.n_slots() - tile.rule.cache_size);
  const bool scans =
      model.needs_scan() && (n_drops > 0 || model.layout.memory != PolicyMemory::none);
  if (scans) scan_one(pass, tile, group);
  if (n_drops == 0) return tile.n_slots();
  const std::int32_t* positions = tile.state->positions(pass.layer, group);
  std::vector<Candidate>& dropped = pass.scratch(thread).candidates;
  if (scans && n_drops == 1) {
    const std::int32_t slot =
        tile.scratch->evicted[static_cast<std::size_t>(group * model.tile_queries)];
    dropped.clear();
    if (slot >= 0) dropped.push_back({0.0f, positions[slot], slot});
  } else {
    choose_lowest(pass, tile, group, n_drops, dropped);
  }
  for (const Candidate& c : dropped) {
    events.evictions.push_back({.position = c.position,
                                .step = static_cast<std::int32_t>(tile.position),
                                .group = group,
                                .weight = scans ? tile.scratch->mean_weights_of(group)[c.slot]
                                                : mean_weight(pass, tile, c.slot, thread)});
  }
  if (tile.state->n_merged(pass.layer) > 0) {
    for (const Candidate& c : dropped) keep_left_slot(pass, tile, c.slot);
  }
  close_gaps(pass, tile, group, dropped);
  return tile.n_slots() - static_cast<std::int32_t>(dropped.size());
}

}  // namespace

void decode(const LayerPass& pass, Tile tile, BlockEvents& events, int thread) {
  const AttentionModel& model = pass.model;
  CpuState& state = *tile.state;
  take_slots(pass, tile);
  for (std::int32_t kv = 0; kv < model.shape.n_kv_heads; ++kv) attend_head(pass, tile, kv, thread);
  state.rotation(pass.layer) = model.wanted_rotation(tile.position);
  state.n_tokens() = tile.position + 1;
  std::int32_t n_left = tile.n_slots();
  for (std::int32_t g = 0; g < model.n_groups; ++g) {
    const std::int32_t* positions = state.positions(pass.layer, g);
    events.n_attended += static_cast<std::uint64_t>(
        !pass.has_window()
            ? tile.n_slots() - state.n_merged(pass.layer)
            : std::count_if(positions, positions + tile.n_slots(),
                            [&](std::int32_t p) { return p > pass.hidden_below(tile.position); }));
    if (tile.may_evict) n_left = drop_tokens(pass, tile, g, events, thread);
  }
  state.n_slots(pass.layer) = n_left;
  if (state.n_merged(pass.layer) == 0) return;
  for (std::int32_t kv = 0; kv < model.shape.n_kv_heads; ++kv) add_queries(pass, tile, kv);
  if (!ends_interval(tile)) return;
  for (std::int32_t kv = 0; kv < model.shape.n_kv_heads; ++kv) merge_left(pass, tile, kv, thread);
  forget_left(pass, tile);
}

}  // namespace tovamill::cpu
