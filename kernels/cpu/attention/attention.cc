#include "kernels/cpu/attention/attention.h"

#include <algorithm>

#include "kernels/cpu/attention/attention_decode.h"
#include "kernels/cpu/attention/attention_events.h"
#include "kernels/cpu/attention/attention_eviction_scan.h"
#include "kernels/cpu/attention/attention_merge.h"
#include "kernels/cpu/attention/attention_scores.h"
#include "kernels/cpu/attention/attention_state.h"
#include "kernels/cpu/attention/attention_weighted_sum.h"
#include "kernels/cpu/attention/attention_window.h"
#include "kernels/types/error.h"

namespace tovamill::cpu {
namespace {

LayerHeads heads_of(const AttentionModel& model) {
  return {model.shape.n_heads, model.shape.n_kv_heads, model.shape.head_dim};
}

std::vector<AttentionModel> models_of(const BackendOptions& options, ComputeType type) {
  std::vector<AttentionModel> models;
  for (std::int32_t l = 0; l < options.shape.n_layers; ++l) {
    const bool is_there = std::any_of(models.begin(), models.end(), [&](const auto& model) {
      return heads_of(model) == options.shape.heads(l);
    });
    if (!is_there) models.emplace_back(options, type, l);
  }
  return models;
}

std::vector<std::size_t> models_of_layers(const ModelShape& shape,
                                          const std::vector<AttentionModel>& models) {
  std::vector<std::size_t> indices;
  for (std::int32_t l = 0; l < shape.n_layers; ++l) {
    std::size_t i = 0;
    while (heads_of(models[i]) != shape.heads(l)) ++i;
    indices.push_back(i);
  }
  return indices;
}

}  // namespace

Attention::Attention(const BackendOptions& options, ComputeType type, ThreadPool& pool,
                     const IsaKernels& isa)
    : models_(models_of(options, type)),
      model_of_layer_(models_of_layers(options.shape, models_)),
      model_(models_.front()),
      pool_(pool),
      isa_(isa),
      rows_(models_),
      scratch_(models_, pool.size()) {}

std::uint64_t Attention::workspace_bytes_for(std::int64_t n_tokens, bool keeps_all) const {
  return rows_.bytes() + scratch_.bytes_for(model_.capacity(n_tokens, keeps_all), keeps_all);
}

void Attention::begin_step(std::span<const StepBlock> blocks, std::int32_t n_rows) {
  blocks_.assign(blocks.begin(), blocks.end());
  single_.clear();
  longer_.clear();
  for (std::size_t b = 0; b < blocks_.size(); ++b)
    (blocks_[b].n_tokens == 1 ? single_ : longer_).push_back(b);
  fit_states();
  rows_.begin_step(blocks_, n_rows, pool_);
}

void Attention::fit_states() {
  const CacheOptions& cache = model_.cache;
  std::int64_t most = 0;
  bool keeps_all = false;
  for (const StepBlock& b : blocks_) {
    auto& state = *static_cast<CpuState*>(b.state);
    std::int64_t held = 0;
    bool grows = b.keeps_all || !is_bounded(cache);
    for (std::int32_t l = 0; l < model_.shape.n_layers; ++l) {
      check_block(cache, b, model_.places(l), state.n_slots(l));
      held = std::max<std::int64_t>(held, state.n_slots(l));
      grows = grows || state.n_slots(l) > model_.places(l).size;
    }
    if (is_bounded(cache) && !model_.needs_scan() && state.n_tokens() > 0 &&
        block_options(cache, b.pin).sinks != block_options(cache, state.pin()).sinks) {
      throw Error(ExitCode::internal,
                  "a stream's pin changes (a window has no place for more): keep it");
    }
    if (is_bounded(cache)) state.pin() = b.pin;
    const std::int64_t needed = model_.capacity(held + b.n_tokens, grows);
    if (needed > state.capacity()) state.resize(needed);
    most = std::max(most, state.capacity());
    keeps_all = keeps_all || b.keeps_all;
  }
  scratch_.make_room(most, keeps_all);
}

// A state that was brought down needs the room of a bounded one only.
void Attention::give_back_room(const StepBlock& block) const {
  auto& state = *static_cast<CpuState*>(block.state);
  const std::int64_t bounded = model_.capacity(0, false);
  if (!is_bounded(model_.cache) || block.keeps_all || state.capacity() <= bounded) return;
  for (std::int32_t layer = 0; layer < model_.shape.n_layers; ++layer) {
    if (state.n_slots(layer) > model_.places(layer).size) return;
  }
  state.resize(bounded);
}

void Attention::run(std::int32_t layer, const AttentionWeights& weights, float* qkv, void* out,
                    std::span<BlockEvents> events) {
  const LayerShape& shape = model_.shape.layer(layer);
  const AttentionModel& model = model_of(layer);
  rows_.prepare(model, shape, weights, qkv, isa_, pool_);
  for (std::size_t b = 0; b < blocks_.size(); ++b) {
    events[b].evictions.clear();
    events[b].n_attended = 0;
  }
  std::vector<TileScratch>& scratch = scratch_.tiles();
  const float scale = score_scale(shape, model.shape.head_dim);
  const LayerPass pass{model,         isa_,  rows_, scratch_.threads(),
                       layer,         shape, scale, static_cast<float>(shape.score_cap) / scale,
                       weights.sinks, out};
  pool_.run(static_cast<std::int64_t>(single_.size()), [&](std::int64_t i, int thread) {
    const std::size_t b = single_[static_cast<std::size_t>(i)];
    decode(pass, next_tile(layer, blocks_[b], 0, scratch[static_cast<std::size_t>(thread)]),
           events[b], thread);
  });
  const std::span<const std::size_t> longer(longer_);
  for (std::size_t b = 0; b < longer.size(); b += scratch.size())
    run_batch(pass, longer.subspan(b, std::min(scratch.size(), longer.size() - b)), events);
  for (const StepBlock& block : blocks_) give_back_room(block);
}

// It ends at a multiple of the tile's size, so that the cut does not depend on the blocks.
Tile Attention::next_tile(std::int32_t layer, const StepBlock& block, std::int64_t done,
                          TileScratch& scratch) const {
  const std::int64_t position = block.position + done;
  const std::int64_t size = block.keeps_all ? kRopeSegmentTokens : model_.tile_queries;
  const std::int64_t end = std::min(block.position + block.n_tokens, (position / size + 1) * size);
  return {.state = static_cast<CpuState*>(block.state),
          .scratch = &scratch,
          .first_row = block.first_row + static_cast<std::int32_t>(done),
          .n_queries = static_cast<std::int32_t>(end - position),
          .position = position,
          .rule = decision_rule(model_.cache, block, model_.places(layer)),
          .is_scanned = model_.needs_scan() && !block.keeps_all,
          .may_evict = is_bounded(model_.cache) && !block.keeps_all};
}

// The next tile of each block that has one; each block has a scratch of its own.
bool Attention::lay_out_tiles(const LayerPass& pass, std::span<const std::size_t> blocks) {
  tiles_.clear();
  tile_blocks_.clear();
  for (std::size_t i = 0; i < blocks.size(); ++i) {
    const StepBlock& block = blocks_[blocks[i]];
    if (done_[i] >= block.n_tokens) continue;
    Tile tile = next_tile(pass.layer, block, done_[i], scratch_.tiles()[i]);
    done_[i] += tile.n_queries;
    take_slots(pass, tile);
    if (!model_.needs_scan()) plan_evictions(pass, tile);
    tiles_.push_back(tile);
    tile_blocks_.push_back(blocks[i]);
  }
  return !tiles_.empty();
}

void Attention::run_batch(const LayerPass& pass, std::span<const std::size_t> blocks,
                          std::span<BlockEvents> events) {
  done_.assign(blocks.size(), 0);
  while (lay_out_tiles(pass, blocks)) {
    for_each_head(pass.model, [&](const Tile& tile, std::int32_t kv, int thread) {
      append(pass, tile, kv, thread);
    });
    attend_tiles(pass);
    move_survivors(pass, events);
  }
}

void Attention::attend_tiles(const LayerPass& pass) {
  for_each_part(pass.model, [&](const Tile& tile, std::int32_t kv, std::int32_t part, int thread) {
    if (tile.is_scanned) {
      score_part(pass, tile, kv, part);
    } else {
      attend_planned_part(pass, tile, kv, part, thread);
    }
  });
  const auto is_scanned = [](const Tile& tile) { return tile.is_scanned; };
  if (std::none_of(tiles_.begin(), tiles_.end(), is_scanned)) return;
  const std::int64_t groups = model_.n_groups;
  pool_.run(static_cast<std::int64_t>(tiles_.size()) * groups, [&](std::int64_t task, int) {
    const Tile& tile = tiles_[static_cast<std::size_t>(task / groups)];
    if (tile.is_scanned) scan_evictions(pass, tile, static_cast<std::int32_t>(task % groups));
  });
  for_each_part(pass.model, [&](const Tile& tile, std::int32_t kv, std::int32_t part, int thread) {
    if (tile.is_scanned) weighted_sum_of_part(pass, tile, kv, part, thread);
  });
}

void Attention::move_survivors(const LayerPass& pass, std::span<BlockEvents> events) {
  const bool merges = model_.layout.n_merged(pass.layer) > 0;
  if (merges)
    for_each_head(pass.model,
                  [&](const Tile& tile, std::int32_t kv, int) { keep_left(pass, tile, kv); });
  for (std::size_t i = 0; i < tiles_.size(); ++i) {
    add_events(pass, tiles_[i], events[tile_blocks_[i]]);
    if (merges) count_left(pass, tiles_[i]);
    for (std::int32_t g = 0; g < model_.n_groups; ++g) evict(pass, tiles_[i], g);
  }
  for_each_head(pass.model,
                [&](const Tile& tile, std::int32_t kv, int) { compact(pass, tile, kv); });
  if (!merges) return;
  for_each_head(pass.model, [&](const Tile& tile, std::int32_t kv, int thread) {
    if (ends_interval(tile)) merge_left(pass, tile, kv, thread);
  });
  for (const Tile& tile : tiles_) {
    if (ends_interval(tile)) forget_left(pass, tile);
  }
}

template <class Body>
void Attention::for_each_head(const AttentionModel& model, Body&& body) {
  const std::int64_t n_kv = model.shape.n_kv_heads;
  pool_.run(static_cast<std::int64_t>(tiles_.size()) * n_kv, [&](std::int64_t task, int thread) {
    body(tiles_[static_cast<std::size_t>(task / n_kv)], static_cast<std::int32_t>(task % n_kv),
         thread);
  });
}

template <class Body>
void Attention::for_each_part(const AttentionModel& model, Body&& body) {
  std::int64_t most = 0;
  for (const Tile& tile : tiles_) most = std::max<std::int64_t>(most, n_parts(model, tile));
  const std::int64_t n_kv = model.shape.n_kv_heads;
  const auto n_tasks = static_cast<std::int64_t>(tiles_.size()) * n_kv * most;
  pool_.run(n_tasks, [&](std::int64_t task, int thread) {
    const Tile& tile = tiles_[static_cast<std::size_t>(task / (n_kv * most))];
    const auto part = static_cast<std::int32_t>(task % most);
    if (part < n_parts(model, tile))
      body(tile, static_cast<std::int32_t>(task / most % n_kv), part, thread);
  });
}

}  // namespace tovamill::cpu
