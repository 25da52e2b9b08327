#include "kernels/cuda/attention/step_events.h"

#include <algorithm>

namespace tovamill::cuda {

StepEvents::StepEvents(const AttentionModel& model, Arena& arena)
    : model_(model),
      memory_(arena.take(bytes(model.max_rows()), "the evictions of a step")),
      host_(bytes(model.max_rows())) {}

std::size_t StepEvents::bytes(std::int32_t n_rows) const {
  return static_cast<std::size_t>(model_.layout().n_layers) * static_cast<std::size_t>(n_rows) *
         static_cast<std::size_t>(model_.layout().n_eviction_groups) * sizeof(EventRecord);
}

void StepEvents::begin_step(const StepLayout& layout) {
  n_rows_ = layout.n_rows();
  batch_evictions_.clear();
}

EventRecord* StepEvents::of(std::int32_t layer) const {
  return static_cast<EventRecord*>(memory_.data()) +
         static_cast<std::int64_t>(layer) * n_rows_ * model_.shape().n_eviction_groups;
}

void StepEvents::keep_evictions(const TileBatch& batch, std::int32_t layer,
                                const EventRecord* evictions, const Stream& stream) {
  const std::size_t n_bytes = static_cast<std::size_t>(batch.n_tiles) *
                              static_cast<std::size_t>(model_.shape().n_eviction_groups) *
                              static_cast<std::size_t>(batch.max_evictions) * sizeof(EventRecord);
  batch_evictions_.push_back(
      {layer, batch.first, batch.n_tiles, batch.max_evictions, PinnedMemory(n_bytes)});
  TOVAMILL_CUDA(cudaMemcpyAsync(batch_evictions_.back().records.data(), evictions, n_bytes,
                                cudaMemcpyDeviceToHost, stream.get()));
}

void StepEvents::fetch(const Stream& stream) {
  if (n_rows_ == 0) return;
  TOVAMILL_CUDA(cudaMemcpyAsync(host_.data(), memory_.data(), bytes(n_rows_),
                                cudaMemcpyDeviceToHost, stream.get()));
}

void StepEvents::add_evictions(const StepLayout& layout, const BatchEvictions& batch,
                               std::size_t block, std::int32_t group, BlockEvents& events) const {
  const auto* records = reinterpret_cast<const EventRecord*>(batch.records.data());
  for (std::int32_t i = 0; i < batch.n_tiles; ++i) {
    const auto index = static_cast<std::size_t>(batch.first_tile + i);
    if (layout.block_of(index) != block) continue;
    const TileInfo tile = layout.tile_of(batch.layer, index);
    const std::int32_t n_evictions =
        tile.evicts != 0 ? std::max(0, tile.n_slots() - tile.rule.cache_size) : 0;
    const EventRecord* first =
        records + (static_cast<std::int64_t>(i) * model_.shape().n_eviction_groups + group) *
                      batch.max_evictions;
    for (const EventRecord* r = first; r < first + n_evictions; ++r) {
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
  const AttentionShape& shape = model_.shape(layer);
  const auto* records = reinterpret_cast<const EventRecord*>(host_.data()) +
                        static_cast<std::int64_t>(layer) * n_rows_ * shape.n_eviction_groups;
  events.evictions.clear();
  events.n_attended = 0;
  const auto has_block = [&](const BatchEvictions& d) {
    if (d.layer != layer) return false;
    for (std::int32_t i = 0; i < d.n_tiles; ++i) {
      if (layout.block_of(static_cast<std::size_t>(d.first_tile + i)) == block) return true;
    }
    return false;
  };
  const bool evicts_many = std::any_of(batch_evictions_.begin(), batch_evictions_.end(), has_block);
  for (std::int32_t g = 0; g < shape.n_eviction_groups; ++g) {
    std::int64_t held = layout.held_before(block, layer);
    for (std::int32_t i = 0; i < b.n_tokens; ++i) {
      const EventRecord& r =
          records[static_cast<std::int64_t>(b.first_row + i) * shape.n_eviction_groups + g];
      events.n_attended +=
          static_cast<std::uint64_t>(shape.sliding_window > 0 ? r.n_attended : held + 1);
      held = model_.held_after(b, layer, held, 1);
      if (evicts_many || r.position < 0) continue;
      events.evictions.push_back({.position = r.position,
                                  .step = static_cast<std::int32_t>(b.position + i),
                                  .group = g,
                                  .weight = r.weight});
    }
    for (const BatchEvictions& d : batch_evictions_) {
      if (d.layer == layer) add_evictions(layout, d, block, g, events);
    }
  }
}

}  // namespace tovamill::cuda
