#include "kernels/cuda/attention/step_events.h"

#include <algorithm>

namespace tovamill::cuda {

StepEvents::StepEvents(const AttentionModel& model, Arena& arena)
    : model_(model),
      memory_(arena.take(bytes(model.max_rows()), "what leaves in a step")),
      host_(bytes(model.max_rows())) {}

std::size_t StepEvents::bytes(std::int32_t n_rows) const {
  return static_cast<std::size_t>(model_.layout().n_layers) * static_cast<std::size_t>(n_rows) *
         static_cast<std::size_t>(model_.layout().n_eviction_groups) * sizeof(EventRecord);
}

void StepEvents::begin_step(const StepLayout& layout) {
  n_rows_ = layout.n_rows();
  drops_.clear();
}

EventRecord* StepEvents::of(std::int32_t layer) const {
  return static_cast<EventRecord*>(memory_.data()) +
         static_cast<std::int64_t>(layer) * n_rows_ * model_.shape().n_eviction_groups;
}

void StepEvents::keep_drops(const Wave& wave, std::int32_t layer, const EventRecord* drops,
                            const Stream& stream) {
  const std::size_t n_bytes = static_cast<std::size_t>(wave.n_tiles) *
                              static_cast<std::size_t>(model_.shape().n_eviction_groups) *
                              static_cast<std::size_t>(wave.max_drops) * sizeof(EventRecord);
  drops_.push_back({layer, wave.first, wave.n_tiles, wave.max_drops, PinnedMemory(n_bytes)});
  TOVAMILL_CUDA(cudaMemcpyAsync(drops_.back().records.data(), drops, n_bytes,
                                cudaMemcpyDeviceToHost, stream.get()));
}

void StepEvents::fetch(const Stream& stream) {
  if (n_rows_ == 0) return;
  TOVAMILL_CUDA(cudaMemcpyAsync(host_.data(), memory_.data(), bytes(n_rows_),
                                cudaMemcpyDeviceToHost, stream.get()));
}

void StepEvents::add_drops(const StepLayout& layout, const Drops& drops, std::size_t block,
                           std::int32_t group, BlockEvents& events) const {
  const auto* records = reinterpret_cast<const EventRecord*>(drops.records.data());
  for (std::int32_t i = 0; i < drops.n_tiles; ++i) {
    const auto index = static_cast<std::size_t>(drops.first_tile + i);
    if (layout.block_of(index) != block) continue;
    const TileInfo& tile = layout.tiles()[index];
    const std::int32_t n_drops =
        tile.drops != 0 ? std::max(0, tile.n_columns() - tile.rule.cache_size) : 0;
    const EventRecord* first =
        records +
        (static_cast<std::int64_t>(i) * model_.shape().n_eviction_groups + group) * drops.max_drops;
    for (const EventRecord* r = first; r < first + n_drops; ++r) {
      events.evictions.push_back({.position = r->position,
                                  .step = static_cast<std::int32_t>(tile.position),
                                  .group = group,
                                  .weight = r->weight});
    }
  }
}

void StepEvents::read(const StepLayout& layout, std::int32_t layer, std::size_t block,
                      BlockEvents& events) const {
  const StepBlock& b = layout.blocks()[block];
  const AttentionShape& shape = model_.shape();
  const auto* records = reinterpret_cast<const EventRecord*>(host_.data()) +
                        static_cast<std::int64_t>(layer) * n_rows_ * shape.n_eviction_groups;
  events.evictions.clear();
  events.n_attended = 0;
  const auto is_of = [&](const Drops& d) {
    if (d.layer != layer) return false;
    for (std::int32_t i = 0; i < d.n_tiles; ++i) {
      if (layout.block_of(static_cast<std::size_t>(d.first_tile + i)) == block) return true;
    }
    return false;
  };
  const bool drops_many = std::any_of(drops_.begin(), drops_.end(), is_of);
  for (std::int32_t g = 0; g < shape.n_eviction_groups; ++g) {
    std::int64_t held = layout.held_before(block);
    for (std::int32_t i = 0; i < b.n_tokens; ++i) {
      const EventRecord& r =
          records[static_cast<std::int64_t>(b.first_row + i) * shape.n_eviction_groups + g];
      events.n_attended +=
          static_cast<std::uint64_t>(shape.sliding_window > 0 ? r.n_attended : held + 1);
      held = model_.held_after(b, held, 1);
      if (drops_many || r.position < 0) continue;
      events.evictions.push_back({.position = r.position,
                                  .step = static_cast<std::int32_t>(b.position + i),
                                  .group = g,
                                  .weight = r.weight});
    }
    for (const Drops& d : drops_) {
      if (d.layer == layer) add_drops(layout, d, block, g, events);
    }
  }
}

}  // namespace tovamill::cuda
