#include "kernels/cpu/attention.h"

#include <algorithm>
#include <cmath>

#include "kernels/cpu/attention_tile.h"

namespace tovamill::cpu {
namespace {

constexpr std::int64_t kFirstColumns = 1024;  // of an unbounded state that slots have room for

}  // namespace

Attention::Attention(const BackendOptions& options, ComputeType type, ThreadPool& pool,
                     const IsaKernels& isa)
    : options_(options),
      shape_(options.shape),
      cache_(options.cache),
      type_(type),
      storage_(type),
      pool_(pool),
      isa_(isa),
      tile_(needs_scan(options.cache.policy) ? kScanTile : kRopeSegmentTokens),
      groups_(n_eviction_groups(options.cache, options.shape)),
      clip_(clip_distance(options.cache, options.shape)),
      scale_(1.0f / std::sqrt(static_cast<float>(options.shape.head_dim))),
      angles_(options.shape.inv_freq, options.cache.positions == Positions::in_state
                                          ? options.cache.cache_size + 2 * kRopeSegmentTokens
                                          : clip_ + 2 * kRopeSegmentTokens),
      scratch_(static_cast<std::size_t>(pool.size())) {
  per_kv_ = shape_.queries_per_kv_head();
  kv_per_group_ = shape_.n_kv_heads / groups_;
  heads_per_group_ = shape_.n_heads / groups_;
  part_steps_ = std::max(1, kPartRows / per_kv_);
  padded_dim_ = static_cast<std::int32_t>(pad_columns(shape_.head_dim));
  layout_ = {.n_layers = shape_.n_layers,
             .n_kv_heads = shape_.n_kv_heads,
             .head_dim = shape_.head_dim,
             .n_eviction_groups = groups_,
             .storage = storage_,
             .keeps_unrotated = rotates_again(cache_, clip_),
             .remembers = memory_numbers(traits_of(cache_.policy).memory) >= 1,
             .averages = memory_numbers(traits_of(cache_.policy).memory) == 3};
  slots_.resize(static_cast<std::size_t>(std::max(1, pool.size())));
  const auto rows = static_cast<std::size_t>(options.max_rows);
  row_angles_.resize(rows * static_cast<std::size_t>(shape_.head_dim));
  rotated_keys_.resize(rows * static_cast<std::size_t>(shape_.kv_size()));
  value_norms_.resize(rows);
  for (ThreadScratch& s : scratch_) {
    s.angles.resize(static_cast<std::size_t>(shape_.head_dim));
    s.inverse_sum.resize(static_cast<std::size_t>(shape_.n_heads));
  }
  make_room(capacity(kFirstColumns, false), !needs_scan(cache_.policy));
}

void Attention::begin_step(std::span<const StepBlock> blocks, std::int32_t n_rows) {
  blocks_.assign(blocks.begin(), blocks.end());
  n_rows_ = n_rows;
  single_.clear();
  longer_.clear();
  for (std::size_t b = 0; b < blocks_.size(); ++b)
    (blocks_[b].n_tokens == 1 ? single_ : longer_).push_back(b);
  fit_states();
  pool_.run(static_cast<std::int64_t>(blocks_.size()),
            [&](std::int64_t b, int) { fill_angles(blocks_[static_cast<std::size_t>(b)]); });
}

// Of the block's rows. In-state positions go on from the tokens that were held when the row's group
// of 256 began.
void Attention::fill_angles(const StepBlock& block) {
  auto& state = *static_cast<CpuState*>(block.state);
  const std::int64_t held = state.n_columns(0);
  const bool grows = !is_bounded(cache_) || block.keeps_all || held > cache_.cache_size;
  for (std::int32_t i = 0; i < block.n_tokens; ++i) {
    const std::int64_t position = block.position + i;
    if (position % kRopeSegmentTokens == 0) {
      state.group_base() = grows ? held + i : std::min<std::int64_t>(held + i, cache_.cache_size);
    }
    float* row =
        row_angles_.data() + static_cast<std::int64_t>(block.first_row + i) * shape_.head_dim;
    angles_.fill(rotary_position(position, state.group_base()), row, row + shape_.head_dim / 2);
  }
}

// Norms of Qwen3's heads, rotation of Q in place and of K beside it, the norms of the values.
void Attention::prepare_rows(std::span<const float> q_norm, std::span<const float> k_norm,
                             float* qkv) {
  const std::int32_t d = shape_.head_dim, half = d / 2;
  const std::int64_t stride = shape_.q_size() + 2 * shape_.kv_size();
  constexpr std::int32_t kRowsPerTask = 16;
  pool_.run((n_rows_ + kRowsPerTask - 1) / kRowsPerTask, [&](std::int64_t task, int) {
    const auto begin = static_cast<std::int32_t>(task) * kRowsPerTask;
    for (std::int32_t r = begin; r < std::min(begin + kRowsPerTask, n_rows_); ++r) {
      float* q = qkv + r * stride;
      float* k = q + shape_.q_size();
      const float* cosines = row_angles_.data() + static_cast<std::int64_t>(r) * d;
      for (std::int32_t h = 0; h < shape_.n_heads; ++h) {
        if (!q_norm.empty())
          isa_.rms_norm(q + h * d, q_norm.data(), d, shape_.rms_norm_eps, q + h * d);
        isa_.rotate(q + h * d, cosines, cosines + half, half, q + h * d);
        if (type_ == ComputeType::bf16) {
          std::uint16_t rounded[1024];
          isa_.to_bf16(q + h * d, d, rounded);
          isa_.from_bf16(rounded, d, q + h * d);
        }
      }
      float norms = 0.0f;
      for (std::int32_t h = 0; h < shape_.n_kv_heads; ++h) {
        if (!k_norm.empty())
          isa_.rms_norm(k + h * d, k_norm.data(), d, shape_.rms_norm_eps, k + h * d);
        isa_.rotate(k + h * d, cosines, cosines + half, half,
                    rotated_keys_.data() + static_cast<std::int64_t>(r) * shape_.kv_size() + h * d);
        if (layout_.averages) norms += isa_.norm2(k + shape_.kv_size() + h * d, d);
      }
      value_norms_[static_cast<std::size_t>(r)] = norms / static_cast<float>(shape_.n_kv_heads);
    }
  });
}

void Attention::run(std::int32_t layer, std::span<const float> q_norm,
                    std::span<const float> k_norm, float* qkv, void* out,
                    std::span<BlockEvents> events) {
  prepare_rows(q_norm, k_norm, qkv);
  qkv_ = qkv;
  pool_.run(static_cast<std::int64_t>(single_.size()), [&](std::int64_t i, int thread) {
    const std::size_t b = single_[static_cast<std::size_t>(i)];
    decode(layer, b, out, events[b], thread);
  });
  const std::span<const std::size_t> longer(longer_);
  for (std::size_t b = 0; b < longer.size(); b += slots_.size())
    run_wave(layer, longer.subspan(b, std::min(slots_.size(), longer.size() - b)), out, events);
  for (const StepBlock& block : blocks_) give_back(block);
}

// The next tile of a block of which `done` tokens are through: it ends at a multiple of the tile's
// size, so that the cut does not depend on the blocks.
bool Attention::next_tile(std::size_t block, std::int64_t& done, Tile& tile) const {
  const StepBlock& b = blocks_[block];
  if (done >= b.n_tokens) return false;
  tile.position = b.position + done;
  tile.pin = b.pin;
  tile.keeps_all = b.keeps_all;
  const std::int64_t size = b.keeps_all ? kRopeSegmentTokens : tile_;
  const std::int64_t end = std::min(b.position + b.n_tokens, (tile.position / size + 1) * size);
  tile.n_steps = static_cast<std::int32_t>(end - tile.position);
  tile.first_row = b.first_row + static_cast<std::int32_t>(done);
  tile.state = static_cast<CpuState*>(b.state);
  done += tile.n_steps;
  return true;
}

// Policies without scores, and blocks in which nothing leaves, need none.
bool Attention::is_scanned(const Tile& tile) const {
  return needs_scan(cache_.policy) && !tile.keeps_all;
}
bool Attention::may_drop(const Tile& tile) const { return is_bounded(cache_) && !tile.keeps_all; }

void Attention::run_wave(std::int32_t layer, std::span<const std::size_t> wave, void* out,
                         std::span<BlockEvents> events) {
  const std::int32_t kvs = shape_.n_kv_heads;
  constexpr std::size_t kMostSlots = 1024;
  std::int64_t done[kMostSlots] = {};
  Tile tiles[kMostSlots];
  std::size_t owner[kMostSlots];
  for (const std::size_t block : wave) {
    events[block].evictions.clear();
    events[block].n_attended = 0;
  }
  while (true) {
    std::size_t n = 0;
    std::int32_t parts = 0;
    for (std::size_t i = 0; i < wave.size(); ++i) {
      if (!next_tile(wave[i], done[i], tiles[n])) continue;
      tiles[n].slot = &slots_[i];
      owner[n] = wave[i];
      join(layer, tiles[n]);
      if (!needs_scan(cache_.policy)) plan_window_deaths(layer, tiles[n]);
      parts = std::max(parts, n_parts(tiles[n]));
      ++n;
    }
    if (n == 0) break;
    const std::int64_t n_tiles = static_cast<std::int64_t>(n);
    pool_.run(n_tiles * kvs, [&](std::int64_t task, int thread) {
      append(layer, tiles[task / kvs], static_cast<std::int32_t>(task % kvs), thread);
    });
    const auto for_each_part = [&](auto&& body) {
      pool_.run(n_tiles * kvs * parts, [&](std::int64_t task, int thread) {
        const Tile& tile = tiles[task / (kvs * parts)];
        const auto part = static_cast<std::int32_t>(task % parts);
        if (part < n_parts(tile))
          body(tile, static_cast<std::int32_t>(task / parts % kvs), part, thread);
      });
    };
    for_each_part([&](const Tile& tile, std::int32_t kv, std::int32_t part, int thread) {
      if (is_scanned(tile)) {
        score(layer, tile, kv, part);
      } else {
        attend_unscanned(layer, tile, kv, part, out, thread);
      }
    });
    if (std::any_of(tiles, tiles + n, [&](const Tile& tile) { return is_scanned(tile); })) {
      pool_.run(n_tiles * groups_, [&](std::int64_t task, int) {
        const Tile& tile = tiles[task / groups_];
        if (is_scanned(tile)) scan(layer, tile, static_cast<std::int32_t>(task % groups_));
      });
      for_each_part([&](const Tile& tile, std::int32_t kv, std::int32_t part, int thread) {
        if (is_scanned(tile)) weigh_values(layer, tile, kv, part, out, thread);
      });
    }
    for (std::size_t i = 0; i < n; ++i) {
      report(layer, tiles[i], events[owner[i]]);
      for (std::int32_t g = 0; g < groups_; ++g) leave(layer, tiles[i], g);
    }
    pool_.run(n_tiles * kvs, [&](std::int64_t task, int) {
      compact(layer, tiles[task / kvs], static_cast<std::int32_t>(task % kvs));
    });
  }
}

// Tells who left and how much was attended.
void Attention::report(std::int32_t layer, const Tile& tile, BlockEvents& events) const {
  const Slot& slot = *tile.slot;
  for (std::int32_t g = 0; g < groups_; ++g) {
    const std::int32_t* positions = tile.state->positions(layer, g);
    const std::int32_t* deaths = death(slot, g);
    std::int64_t living = tile.n_state;
    for (std::int32_t step = 0; step < tile.n_steps; ++step) {
      ++living;
      if (shape_.sliding_window > 0) {
        for (std::int32_t j = 0; j <= tile.n_state + step; ++j) {
          const bool lives = !may_drop(tile) || deaths[j] >= step;
          events.n_attended += lives && positions[j] > hidden_below(tile.position + step);
        }
      } else {
        events.n_attended += static_cast<std::uint64_t>(living);
      }
      if (!may_drop(tile)) continue;
      const auto at = static_cast<std::size_t>(g * tile_ + step);
      const std::int32_t column = slot.evicted[at];
      if (column < 0) continue;
      --living;
      double weight = static_cast<double>(slot.evicted_weight[at]);
      if (!needs_scan(cache_.policy)) {
        weight = 0.0;
        for (std::int32_t kv = 0; kv < shape_.n_kv_heads; ++kv)
          weight += slot.head_weight[static_cast<std::size_t>(kv * tile_ + step)];
        weight /= shape_.n_heads;
      }
      events.evictions.push_back({.position = positions[column],
                                  .step = static_cast<std::int32_t>(tile.position) + step,
                                  .group = g,
                                  .weight = static_cast<float>(weight)});
    }
  }
}

}  // namespace tovamill::cpu
