#include "kernels/cpu/attention/attention_scratch.h"

#include <algorithm>

namespace tovamill::cpu {
namespace {

constexpr std::int64_t kFirstSlots = 1024;  // of an unbounded state that there is room for

}  // namespace

AttentionScratch::AttentionScratch(std::span<const AttentionModel> models, int n_threads)
    : models_(models),
      tiles_(static_cast<std::size_t>(std::max(1, n_threads))),
      threads_(static_cast<std::size_t>(n_threads)) {
  for (const AttentionModel& m : models) {
    n_heads_ = std::max(n_heads_, m.shape.n_heads);
    n_kv_heads_ = std::max(n_kv_heads_, m.shape.n_kv_heads);
    head_dim_ = std::max(head_dim_, m.shape.head_dim);
    padded_dim_ = std::max(padded_dim_, m.padded_dim);
    per_kv_ = std::max(per_kv_, m.per_kv);
  }
  const AttentionModel& model = models.front();
  const auto heads = static_cast<std::size_t>(n_heads_);
  for (TileScratch& tile : tiles_) tile.head_rows.resize(heads);
  for (ThreadScratch& thread : threads_) {
    thread.angles.resize(static_cast<std::size_t>(head_dim_));
    thread.inverse_sum.resize(heads);
  }
  make_room(model.capacity(kFirstSlots, false), !model.needs_scan());
}

AttentionScratch::Bytes AttentionScratch::each(std::int64_t n_slots, bool keeps_all) const {
  Bytes most{};
  for (const AttentionModel& model : models_) {
    const Bytes b = each_of(model, n_slots, keeps_all);
    for (const auto part : {&Bytes::keys, &Bytes::values, &Bytes::weights, &Bytes::eviction_steps,
                            &Bytes::mean_weights, &Bytes::inverse_sums, &Bytes::panel, &Bytes::rows,
                            &Bytes::lists, &Bytes::merge})
      most.*part = std::max(most.*part, b.*part);
  }
  return most;
}

AttentionScratch::Bytes AttentionScratch::each_of(const AttentionModel& model, std::int64_t n_slots,
                                                  bool keeps_all) {
  const auto slots = static_cast<std::size_t>(n_slots),
             kv = static_cast<std::size_t>(model.shape.n_kv_heads),
             heads = static_cast<std::size_t>(model.shape.n_heads),
             queries = static_cast<std::size_t>(model.tile_queries),
             groups = static_cast<std::size_t>(model.n_groups),
             part_rows = static_cast<std::size_t>(model.part_queries) *
                         static_cast<std::size_t>(model.per_kv),
             dim = static_cast<std::size_t>(model.padded_dim);
  const bool scans = model.needs_scan();
  // Weights of a tile that is scanned, its state bounded, or of one token with any state.
  const std::size_t scanned =
      scans ? queries * static_cast<std::size_t>(model.capacity(0, false)) : 0;
  const std::size_t panel =
      std::max<std::size_t>(scans ? kPanelRows : 0, keeps_all ? part_rows : 0);
  return {.keys = kv * static_cast<std::size_t>(model.shape.head_dim) * slots * 4,
          .values = kv * dim * slots * 4,
          .weights = heads * std::max(scanned, slots) * 4,
          .eviction_steps = groups * slots * 4,
          .mean_weights = groups * slots * 4,
          .inverse_sums = heads * queries * 4,
          .panel = panel * slots * 4,
          .rows = std::max<std::size_t>(kPanelRows, part_rows) * dim * 4,
          .lists = slots * (2 * sizeof(std::int32_t) + sizeof(Candidate)),
          .merge = model.cache.merge == 0 ? 0 : merge_rows(model, slots) * dim * 4};
}

// Rows of dim numbers of a MergeScratch; its numbers beside them are few.
std::size_t AttentionScratch::merge_rows(const AttentionModel& model, std::size_t n_slots) {
  const auto merged = static_cast<std::size_t>(model.cache.merge),
             points = merged + static_cast<std::size_t>(kMergeInterval);
  return 2 * points + n_slots + 2 * merged + 2 * static_cast<std::size_t>(model.per_kv);
}

void AttentionScratch::make_room_to_merge(MergeScratch& s, std::int64_t n_slots) const {
  const auto merged = static_cast<std::size_t>(models_.front().cache.merge),
             points = merged + static_cast<std::size_t>(kMergeInterval),
             keys = points + static_cast<std::size_t>(n_slots),
             row = static_cast<std::size_t>(padded_dim_) * 4,
             heads = static_cast<std::size_t>(per_kv_);
  if (merged == 0) return;
  s.keys = AlignedBytes(keys * row);
  s.values = AlignedBytes(points * row);
  s.places = AlignedBytes(2 * merged * row);
  s.moments = AlignedBytes(2 * heads * row);
  s.positions.resize(points);
  s.place_positions.resize(merged);
  s.biases.resize(points);
  s.masses.resize(points);
  s.logs.resize(keys);
  s.log_sums.resize(heads);
  s.place_biases.resize(merged);
  s.place_masses.resize(merged);
  s.is_used.resize(merged);
  s.place_of.resize(points);
}

void AttentionScratch::make_room(std::int64_t n_slots, bool keeps_all) {
  if (n_slots <= room_ && keeps_all <= keeps_all_) return;
  n_slots = std::max(n_slots, room_);
  keeps_all = keeps_all || keeps_all_;
  const Bytes bytes = each(n_slots, keeps_all);
  room_ = 0;  // there is no room until all of it is there: allocations may fail
  const auto slots = static_cast<std::size_t>(n_slots), kv = static_cast<std::size_t>(n_kv_heads_),
             queries = static_cast<std::size_t>(models_.front().tile_queries),
             groups = static_cast<std::size_t>(models_.front().n_groups);
  for (TileScratch& tile : tiles_) {
    tile.room = n_slots;
    tile.keys = AlignedBytes(bytes.keys);
    tile.values = AlignedBytes(bytes.values);
    tile.weights = AlignedBytes(bytes.weights);
    tile.eviction_steps = AlignedBytes(bytes.eviction_steps);
    tile.mean_weights = AlignedBytes(bytes.mean_weights);
    tile.inverse_sums = AlignedBytes(bytes.inverse_sums);
    if (models_.front().has_sinks())
      tile.sinks.resize(static_cast<std::size_t>(n_heads_) * queries);
    tile.evicted.assign(groups * queries, -1);
    tile.evicted_weight.assign(groups * queries, 0.0f);
    tile.move_from.assign(groups * queries, 0);
    tile.move_to.assign(groups * queries, 0);
    tile.n_moves.assign(groups, 0);
    tile.head_weight.assign(kv * queries, 0.0);
  }
  for (ThreadScratch& thread : threads_) {
    thread.panel = AlignedBytes(bytes.panel);
    thread.rows = AlignedBytes(bytes.rows);
    thread.order.resize(slots);
    thread.rank.resize(slots);
    thread.candidates.reserve(slots);
    make_room_to_merge(thread.merge, n_slots);
  }
  room_ = n_slots;
  keeps_all_ = keeps_all;
}

std::uint64_t AttentionScratch::bytes_for(std::int64_t n_slots, bool keeps_all) const {
  return bytes_of(std::max(room_, n_slots), keeps_all || keeps_all_);
}

std::uint64_t AttentionScratch::bytes_of(std::int64_t n_slots, bool keeps_all) const {
  const Bytes b = each(n_slots, keeps_all);
  return tiles_.size() *
             (b.keys + b.values + b.weights + b.eviction_steps + b.mean_weights + b.inverse_sums) +
         threads_.size() * (b.panel + b.rows + b.lists + b.merge);
}

}  // namespace tovamill::cpu
