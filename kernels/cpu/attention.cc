#include "kernels/cpu/attention.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <numeric>

namespace tovamill::cpu {
namespace {

constexpr std::int32_t kPartRows = 96;   // rows of a part: 16 register blocks of 6
constexpr std::int32_t kPanelRows = 12;  // rows that are masked at a time before they meet the values
constexpr std::int64_t kFirstColumns = 1024;  // room of an unbounded state at first

std::int64_t pad(std::int64_t n) { return (n + kColumnPad - 1) / kColumnPad * kColumnPad; }

bool rotates_again(const CacheOptions& cache, std::int64_t clip) {
  if (cache.positions == Positions::absolute) return false;
  if (cache.chunk_tokens <= 0) return true;
  const std::int64_t last_group = (cache.chunk_tokens - 1) / kGroupTokens * kGroupTokens;
  return cache.positions == Positions::in_state ? last_group > 0 : last_group > clip;
}

}  // namespace

// Consecutive queries of one stream, at most `tile_`, within one group of 256.
struct Attention::Tile {
  CpuState* state;
  Slot* slot;
  std::int32_t first_row;  // of the step
  std::int32_t n_steps;
  std::int64_t position;   // of the first query in its stream
  std::int32_t n_state;    // columns before the tile joined
  std::int32_t ld;         // padded columns after
  std::int32_t n_columns() const { return n_state + n_steps; }
};

struct Attention::RestoreContext {
  const Attention* attention;
  const Tile* tile;
  const std::int32_t* positions;
  const std::int32_t* death;
  std::int32_t first_head;
};

Attention::Attention(const BackendOptions& options, ComputeType type, ThreadPool& pool, const IsaKernels& isa)
    : options_(options),
      shape_(options.shape),
      cache_(options.cache),
      type_(type),
      storage_(type),
      pool_(pool),
      isa_(isa),
      tile_(needs_scan(options.cache.policy) ? kScanTile : kGroupTokens),
      groups_(n_groups(options.cache, options.shape)),
      clip_(clip_distance(options.cache, options.shape)),
      scale_(1.0f / std::sqrt(static_cast<float>(options.shape.head_dim))),
      angles_(options.shape.inv_freq, options.cache.positions == Positions::in_state ? options.cache.cache_size + 2 * kGroupTokens
                                                                                     : clip_ + 2 * kGroupTokens),
      scratch_(static_cast<std::size_t>(pool.size())) {
  per_kv_ = shape_.queries_per_kv_head();
  kv_per_group_ = shape_.n_kv_heads / groups_;
  heads_per_group_ = shape_.n_heads / groups_;
  part_steps_ = std::max(1, kPartRows / per_kv_);
  padded_dim_ = static_cast<std::int32_t>(pad(shape_.head_dim));
  layout_ = {.n_layers = shape_.n_layers,
             .n_kv_heads = shape_.n_kv_heads,
             .head_dim = shape_.head_dim,
             .n_groups = groups_,
             .storage = storage_,
             .keeps_unrotated = rotates_again(cache_, clip_),
             .remembers = cache_.policy == Policy::h2o || cache_.policy == Policy::h2o_head || cache_.policy == Policy::tova_ema,
             .averages = cache_.policy == Policy::tova_ema};
  slots_.resize(static_cast<std::size_t>(std::max(1, pool.size())));
  const auto rows = static_cast<std::size_t>(options.max_rows);
  row_angles_.resize(rows * static_cast<std::size_t>(shape_.head_dim));
  rotated_keys_.resize(rows * static_cast<std::size_t>(shape_.kv_size()));
  value_norms_.resize(rows);
  make_room(capacity(kFirstColumns));
}

std::int64_t Attention::capacity(std::int64_t n_tokens) const {
  return pad(is_bounded(cache_) ? static_cast<std::int64_t>(cache_.cache_size) + tile_ : n_tokens + tile_);
}

void Attention::make_room(std::int64_t n_columns) {
  if (n_columns <= columns_) return;
  columns_ = n_columns;
  const auto columns = static_cast<std::size_t>(n_columns), kv = static_cast<std::size_t>(shape_.n_kv_heads);
  const auto tile = static_cast<std::size_t>(tile_), groups = static_cast<std::size_t>(groups_);
  for (Slot& slot : slots_) {
    slot.keys = AlignedBytes(kv * static_cast<std::size_t>(shape_.head_dim) * columns * 4);
    slot.values = AlignedBytes(kv * static_cast<std::size_t>(padded_dim_) * columns * 4);
    if (needs_scan(cache_.policy)) slot.weights = AlignedBytes(static_cast<std::size_t>(shape_.n_heads) * tile * columns * 4);
    slot.policy = AlignedBytes(groups * 3 * columns * 4 + groups * tile * static_cast<std::size_t>(heads_per_group_) * 4);
    slot.evicted.assign(groups * tile, -1);
    slot.evicted_weight.assign(groups * tile, 0.0f);
    slot.move_from.assign(groups * tile, 0);
    slot.move_to.assign(groups * tile, 0);
    slot.n_moves.assign(groups, 0);
    slot.head_weight.assign(kv * tile, 0.0);
  }
  const std::size_t part_rows = static_cast<std::size_t>(part_steps_) * static_cast<std::size_t>(per_kv_);
  for (ThreadScratch& s : scratch_) {
    const std::size_t rows = needs_scan(cache_.policy) ? kPanelRows : part_rows;
    s.weights = AlignedBytes(rows * columns * 4);
    s.rows = AlignedBytes(std::max<std::size_t>(kPanelRows, part_rows) * static_cast<std::size_t>(padded_dim_) * 4);
    s.angles.resize(static_cast<std::size_t>(shape_.head_dim));
    s.order.resize(columns);
    s.rank.resize(columns);
  }
}

std::uint64_t Attention::workspace_bytes() const {
  std::uint64_t sum = angles_.n_bytes() + (row_angles_.size() + rotated_keys_.size() + value_norms_.size()) * 4;
  for (const Slot& s : slots_) sum += s.keys.size() + s.values.size() + s.weights.size() + s.policy.size();
  for (const ThreadScratch& s : scratch_) sum += s.weights.size() + s.rows.size();
  return sum;
}

// What the rotated keys of a state are relative to while queries of this group are at work.
std::int64_t Attention::wanted_rotation(std::int64_t position) const {
  const std::int64_t group_start = position / kGroupTokens * kGroupTokens;
  if (cache_.positions == Positions::clipped) return std::max<std::int64_t>(0, group_start - clip_);
  return cache_.positions == Positions::in_state ? group_start : 0;
}

// Of a token of the current group. Only distances matter, so clipped positions count from where the clipping begins:
// they stay within the trained context however long the document is.
std::int64_t Attention::rotary_position(std::int64_t position) const {
  const std::int64_t group_start = position / kGroupTokens * kGroupTokens;
  switch (cache_.positions) {
    case Positions::absolute:
      return position;
    case Positions::clipped:
      return position - wanted_rotation(position);
    case Positions::in_state:
      break;
  }
  const std::int64_t base = is_bounded(cache_) ? std::min<std::int64_t>(group_start, cache_.cache_size) : group_start;
  return base + position - group_start;
}

// Positions at or below this are outside the model's sliding window for the query at `position`.
std::int32_t Attention::hidden_below(std::int64_t position) const {
  return static_cast<std::int32_t>(position - shape_.sliding_window);
}

std::int32_t Attention::n_parts(const Tile& tile) const { return (tile.n_steps + part_steps_ - 1) / part_steps_; }

float* Attention::weight_rows(const Slot& slot, std::int32_t ld, std::int32_t kv) const {
  return reinterpret_cast<float*>(slot.weights.data()) + static_cast<std::int64_t>(kv) * tile_ * per_kv_ * ld;
}

std::int32_t* Attention::death(const Slot& slot, std::int32_t group) const {
  return reinterpret_cast<std::int32_t*>(slot.policy.data()) + static_cast<std::int64_t>(group) * columns_;
}

std::byte* Attention::storage_row(std::byte* head, std::int64_t column) const {
  return head + column * static_cast<std::int64_t>(static_cast<std::size_t>(shape_.head_dim) * element_bytes(storage_));
}

void Attention::to_storage(const float* row, std::byte* to) const {
  if (storage_ == ComputeType::bf16) {
    isa_.to_bf16(row, shape_.head_dim, reinterpret_cast<std::uint16_t*>(to));
  } else {
    std::memcpy(to, row, static_cast<std::size_t>(shape_.head_dim) * 4);
  }
}

// Row `row` of a tile's (n_steps, queries of a KV head).
const float* Attention::query(const Tile& tile, std::int32_t kv, std::int32_t row) const {
  const std::int64_t stride = shape_.q_size() + 2 * shape_.kv_size();
  return qkv_ + (tile.first_row + row / per_kv_) * stride + (kv * per_kv_ + row % per_kv_) * shape_.head_dim;
}

void Attention::begin_step(std::span<const StepBlock> blocks, std::int32_t n_rows) {
  blocks_.assign(blocks.begin(), blocks.end());
  n_rows_ = n_rows;
  if (!is_bounded(cache_)) {
    std::int64_t most = 0;
    for (const StepBlock& b : blocks) {
      const std::int64_t needed = capacity(b.position + b.n_tokens);
      auto* state = static_cast<CpuState*>(b.state);
      if (needed > state->capacity()) state->reserve(std::max(needed, 2 * state->capacity()));
      most = std::max(most, state->capacity());
    }
    make_room(most);
  }
  const std::int32_t half = shape_.head_dim / 2;
  pool_.run(static_cast<std::int64_t>(blocks_.size()), [&](std::int64_t b, int) {
    const StepBlock& block = blocks_[static_cast<std::size_t>(b)];
    for (std::int32_t i = 0; i < block.n_tokens; ++i) {
      float* row = row_angles_.data() + static_cast<std::int64_t>(block.first_row + i) * shape_.head_dim;
      angles_.fill(rotary_position(block.position + i), row, row + half);
    }
  });
}

// Norms of Qwen3's heads, rotation of Q in place and of K beside it, the norms of the values.
void Attention::prepare_rows(std::span<const float> q_norm, std::span<const float> k_norm, float* qkv) {
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
        if (!q_norm.empty()) isa_.rms_norm(q + h * d, q_norm.data(), d, shape_.rms_norm_eps, q + h * d);
        isa_.rotate(q + h * d, cosines, cosines + half, half, q + h * d);
        if (type_ == ComputeType::bf16) {
          std::uint16_t rounded[1024];
          isa_.to_bf16(q + h * d, d, rounded);
          isa_.from_bf16(rounded, d, q + h * d);
        }
      }
      float norms = 0.0f;
      for (std::int32_t h = 0; h < shape_.n_kv_heads; ++h) {
        if (!k_norm.empty()) isa_.rms_norm(k + h * d, k_norm.data(), d, shape_.rms_norm_eps, k + h * d);
        isa_.rotate(k + h * d, cosines, cosines + half, half,
                    rotated_keys_.data() + static_cast<std::int64_t>(r) * shape_.kv_size() + h * d);
        if (layout_.averages) norms += isa_.norm2(k + shape_.kv_size() + h * d, d);
      }
      value_norms_[static_cast<std::size_t>(r)] = norms / static_cast<float>(shape_.n_kv_heads);
    }
  });
}

void Attention::run(std::int32_t layer, std::span<const float> q_norm, std::span<const float> k_norm, float* qkv,
                    void* out, std::span<BlockEvents> events) {
  prepare_rows(q_norm, k_norm, qkv);
  qkv_ = qkv;
  for (std::size_t b = 0; b < blocks_.size(); b += slots_.size()) {
    run_wave(layer, b, std::min(slots_.size(), blocks_.size() - b), out, events);
  }
}

// The next tile of a block of which `done` tokens are through: it ends at a multiple of the tile's size, so that the
// cut does not depend on the blocks.
bool Attention::next_tile(std::size_t block, std::int64_t& done, Tile& tile) const {
  const StepBlock& b = blocks_[block];
  if (done >= b.n_tokens) return false;
  tile.position = b.position + done;
  const std::int64_t end = std::min(b.position + b.n_tokens, (tile.position / tile_ + 1) * tile_);
  tile.n_steps = static_cast<std::int32_t>(end - tile.position);
  tile.first_row = b.first_row + static_cast<std::int32_t>(done);
  tile.state = static_cast<CpuState*>(b.state);
  done += tile.n_steps;
  return true;
}

void Attention::run_wave(std::int32_t layer, std::size_t first_block, std::size_t n_blocks, void* out,
                         std::span<BlockEvents> events) {
  const std::int32_t kvs = shape_.n_kv_heads;
  constexpr std::size_t kMostSlots = 1024;
  std::int64_t done[kMostSlots] = {};
  Tile tiles[kMostSlots];
  std::size_t owner[kMostSlots];
  for (std::size_t i = 0; i < n_blocks; ++i) {
    events[first_block + i].evictions.clear();
    events[first_block + i].n_attended = 0;
  }
  while (true) {
    std::size_t n = 0;
    std::int32_t parts = 0;
    for (std::size_t i = 0; i < n_blocks; ++i) {
      if (!next_tile(first_block + i, done[i], tiles[n])) continue;
      tiles[n].slot = &slots_[i];
      owner[n] = first_block + i;
      join(layer, tiles[n]);
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
        if (part < n_parts(tile)) body(tile, static_cast<std::int32_t>(task / parts % kvs), part, thread);
      });
    };
    if (needs_scan(cache_.policy)) {
      for_each_part([&](const Tile& tile, std::int32_t kv, std::int32_t part, int) { score(layer, tile, kv, part); });
      pool_.run(n_tiles * groups_, [&](std::int64_t task, int) {
        scan(layer, tiles[task / groups_], static_cast<std::int32_t>(task % groups_));
      });
      for_each_part([&](const Tile& tile, std::int32_t kv, std::int32_t part, int thread) { weigh_values(layer, tile, kv, part, out, thread); });
    } else {
      for_each_part([&](const Tile& tile, std::int32_t kv, std::int32_t part, int thread) {
        attend_unscanned(layer, tile, kv, part, out, thread);
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

// The tile's tokens take the columns behind the state's.
void Attention::join(std::int32_t layer, Tile& tile) {
  CpuState& state = *tile.state;
  tile.n_state = state.n_columns(layer);
  tile.ld = static_cast<std::int32_t>(pad(tile.n_columns()));
  for (std::int32_t g = 0; g < groups_; ++g) {
    for (std::int32_t i = 0; i < tile.n_steps; ++i) {
      const std::int32_t column = tile.n_state + i;
      state.positions(layer, g)[column] = static_cast<std::int32_t>(tile.position + i);
      if (layout_.remembers) state.memory(layer, g)[column] = 0.0f;
      if (!layout_.averages) continue;
      state.decay_power(layer, g)[column] = 1.0f;
      state.value_norm(layer, g)[column] = value_norms_[static_cast<std::size_t>(tile.first_row + i)];
    }
  }
  if (!needs_scan(cache_.policy)) plan_window_deaths(layer, tile);
}

void Attention::append(std::int32_t layer, const Tile& tile, std::int32_t kv, int thread) {
  CpuState& state = *tile.state;
  const std::int32_t d = shape_.head_dim;
  if (state.rotation(layer) != wanted_rotation(tile.position)) refresh_rotation(layer, tile, kv, thread);
  const std::int64_t stride = shape_.q_size() + 2 * shape_.kv_size();
  for (std::int32_t i = 0; i < tile.n_steps; ++i) {
    const std::int64_t row = tile.first_row + i, column = tile.n_state + i;
    const float* k = qkv_ + row * stride + shape_.q_size() + kv * d;
    if (layout_.keeps_unrotated) to_storage(k, storage_row(state.unrotated(layer, kv), column));
    to_storage(rotated_keys_.data() + row * shape_.kv_size() + kv * d, storage_row(state.rotated(layer, kv), column));
    to_storage(k + shape_.kv_size(), storage_row(state.values(layer, kv), column));
  }
  float* keys = reinterpret_cast<float*>(tile.slot->keys.data()) + static_cast<std::int64_t>(kv) * d * columns_;
  const std::byte* rotated = state.rotated(layer, kv);
  if (storage_ == ComputeType::bf16) {
    isa_.transpose_bf16(reinterpret_cast<const std::uint16_t*>(rotated), tile.n_columns(), tile.ld, d, keys, tile.ld);
  } else {
    isa_.transpose_f32(reinterpret_cast<const float*>(rotated), tile.n_columns(), tile.ld, d, keys, tile.ld);
  }
  if (storage_ == ComputeType::f32 && d == padded_dim_) return;
  float* values = reinterpret_cast<float*>(tile.slot->values.data()) + static_cast<std::int64_t>(kv) * padded_dim_ * columns_;
  const std::byte* stored = state.values(layer, kv);
  for (std::int32_t c = 0; c < tile.n_columns(); ++c) {
    float* to = values + static_cast<std::int64_t>(c) * padded_dim_;
    if (storage_ == ComputeType::bf16) {
      isa_.from_bf16(reinterpret_cast<const std::uint16_t*>(stored) + static_cast<std::int64_t>(c) * d, d, to);
    } else {
      std::memcpy(to, reinterpret_cast<const float*>(stored) + static_cast<std::int64_t>(c) * d, static_cast<std::size_t>(d) * 4);
    }
  }
}

// (n_columns, padded_dim) float32.
const float* Attention::packed_values(std::int32_t layer, const Tile& tile, std::int32_t kv) const {
  if (storage_ == ComputeType::f32 && shape_.head_dim == padded_dim_) {
    return reinterpret_cast<const float*>(tile.state->values(layer, kv));
  }
  return reinterpret_cast<const float*>(tile.slot->values.data()) + static_cast<std::int64_t>(kv) * padded_dim_ * columns_;
}

// Rotates the state's keys anew from the unrotated ones: at a group's start their positions change (design 3.4).
void Attention::refresh_rotation(std::int32_t layer, const Tile& tile, std::int32_t kv, int thread) {
  CpuState& state = *tile.state;
  ThreadScratch& scratch = scratch_[static_cast<std::size_t>(thread)];
  const std::int32_t d = shape_.head_dim, half = d / 2;
  const std::int32_t* positions = state.positions(layer, kv / kv_per_group_);
  const std::int64_t shift = wanted_rotation(tile.position);
  const auto n = static_cast<std::size_t>(tile.n_state);
  if (cache_.positions == Positions::in_state) {
    std::iota(scratch.order.begin(), scratch.order.begin() + static_cast<std::ptrdiff_t>(n), 0);
    std::sort(scratch.order.begin(), scratch.order.begin() + static_cast<std::ptrdiff_t>(n),
              [&](std::int32_t a, std::int32_t b) { return positions[a] < positions[b]; });
    for (std::size_t i = 0; i < n; ++i) scratch.rank[static_cast<std::size_t>(scratch.order[i])] = static_cast<std::int32_t>(i);
  }
  float* row = reinterpret_cast<float*>(scratch.rows.data());
  for (std::size_t j = 0; j < n; ++j) {
    const std::int64_t place = cache_.positions == Positions::in_state ? scratch.rank[j]
                                                                       : std::max<std::int64_t>(0, positions[j] - shift);
    angles_.fill(place, scratch.angles.data(), scratch.angles.data() + half);
    const std::byte* from = storage_row(state.unrotated(layer, kv), static_cast<std::int64_t>(j));
    if (storage_ == ComputeType::bf16) {
      isa_.from_bf16(reinterpret_cast<const std::uint16_t*>(from), d, row);
    } else {
      std::memcpy(row, from, static_cast<std::size_t>(d) * 4);
    }
    isa_.rotate(row, scratch.angles.data(), scratch.angles.data() + half, half, row);
    to_storage(row, storage_row(state.rotated(layer, kv), static_cast<std::int64_t>(j)));
  }
}

// Weights of one part's queries against all columns, relative to each row's highest.
void Attention::score(std::int32_t layer, const Tile& tile, std::int32_t kv, std::int32_t part) {
  const std::int32_t first = part * part_steps_, last = std::min(first + part_steps_, tile.n_steps);
  const std::int32_t begin = first * per_kv_, end = last * per_kv_, d = shape_.head_dim;
  const float* keys = reinterpret_cast<const float*>(tile.slot->keys.data()) + static_cast<std::int64_t>(kv) * d * columns_;
  float* rows = weight_rows(*tile.slot, tile.ld, kv);
  const auto columns = static_cast<std::int32_t>(pad(tile.n_state + last));
  const float* a[kPartRows];
  for (std::int32_t r = begin; r < end; r += kPartRows) {
    const std::int32_t n = std::min(kPartRows, end - r);
    for (std::int32_t i = 0; i < n; ++i) a[i] = query(tile, kv, r + i);
    isa_.multiply(a, n, d, keys, tile.ld, columns, rows + static_cast<std::int64_t>(r) * tile.ld, tile.ld);
  }
  const std::int32_t* positions = shape_.sliding_window > 0 ? tile.state->positions(layer, kv / kv_per_group_) : nullptr;
  for (std::int32_t r = begin; r < end; ++r) {
    const std::int32_t step = r / per_kv_;
    isa_.exponentiate(rows + static_cast<std::int64_t>(r) * tile.ld, tile.n_state + step + 1, tile.ld, scale_, positions,
                      hidden_below(tile.position + step), nullptr, 0);
  }
}

void Attention::scan(std::int32_t layer, const Tile& tile, std::int32_t group) {
  Slot& slot = *tile.slot;
  CpuState& state = *tile.state;
  const std::int64_t scratch = static_cast<std::int64_t>(groups_) * columns_;
  auto* floats = reinterpret_cast<float*>(slot.policy.data());
  RestoreContext context{this, &tile, state.positions(layer, group), death(slot, group), group * heads_per_group_};
  float* weights[1024];
  for (std::int32_t h = 0; h < heads_per_group_; ++h) {
    const std::int32_t head = group * heads_per_group_ + h;
    weights[h] = weight_rows(slot, tile.ld, head / per_kv_) + static_cast<std::int64_t>(head % per_kv_) * tile.ld;
  }
  const bool is_h2o = cache_.policy == Policy::h2o || cache_.policy == Policy::h2o_head;
  ScanTile t{.weights = weights,
             .step_stride = static_cast<std::int64_t>(per_kv_) * tile.ld,
             .ld = tile.ld,
             .n_heads = heads_per_group_,
             .n_steps = tile.n_steps,
             .n_state = tile.n_state,
             .first_position = static_cast<std::int32_t>(tile.position),
             .positions = state.positions(layer, group),
             .rule = layout_.averages ? ScanRule::moving_average : is_h2o ? ScanRule::accumulated : ScanRule::newest_weight,
             .cache_size = cache_.cache_size,
             .pin = is_h2o ? 0 : cache_.pin,
             .recent = is_h2o ? protected_recent(cache_) : -1,
             .decay = static_cast<float>(cache_.ema),
             .memory = layout_.remembers ? state.memory(layer, group) : nullptr,
             .decay_power = layout_.averages ? state.decay_power(layer, group) : nullptr,
             .value_norm = layout_.averages ? state.value_norm(layer, group) : nullptr,
             .scratch = floats + scratch + 2 * static_cast<std::int64_t>(group) * columns_,
             .restore =
                 [](void* c, std::int32_t head, std::int32_t step) {
                   const auto& r = *static_cast<RestoreContext*>(c);
                   const Attention& a = *r.attention;
                   const std::int32_t h = r.first_head + head, kv = h / a.per_kv_;
                   const std::int32_t row = step * a.per_kv_ + h % a.per_kv_;
                   const float* query = a.query(*r.tile, kv, row);
                   float* weights = a.weight_rows(*r.tile->slot, r.tile->ld, kv) + static_cast<std::int64_t>(row) * r.tile->ld;
                   const float* keys = reinterpret_cast<const float*>(r.tile->slot->keys.data()) +
                                       static_cast<std::int64_t>(kv) * a.shape_.head_dim * a.columns_;
                   a.isa_.multiply(&query, 1, a.shape_.head_dim, keys, r.tile->ld, r.tile->ld, weights, r.tile->ld);
                   a.isa_.exponentiate(weights, r.tile->n_state + step + 1, r.tile->ld, a.scale_,
                                       a.shape_.sliding_window > 0 ? r.positions : nullptr,
                                       a.hidden_below(r.tile->position + step), r.death, step);
                 },
             .restore_context = &context,
             .death = death(slot, group),
             .inverse_sum = floats + 3 * scratch + static_cast<std::int64_t>(group) * tile_ * heads_per_group_,
             .evicted = slot.evicted.data() + static_cast<std::int64_t>(group) * tile_,
             .evicted_weight = slot.evicted_weight.data() + static_cast<std::int64_t>(group) * tile_};
  isa_.scan(t);
}

void Attention::write_out(const Tile& tile, std::int32_t kv, std::int32_t row, const float* sums, float factor, void* out) const {
  const std::int64_t at = static_cast<std::int64_t>(tile.first_row + row / per_kv_) * shape_.q_size() +
                          (kv * per_kv_ + row % per_kv_) * shape_.head_dim;
  if (type_ == ComputeType::bf16) {
    isa_.scale_bf16(sums, factor, shape_.head_dim, static_cast<std::uint16_t*>(out) + at);
  } else {
    isa_.scale(sums, factor, shape_.head_dim, static_cast<float*>(out) + at);
  }
}

// Softmax over the living, times the values.
void Attention::weigh_values(std::int32_t layer, const Tile& tile, std::int32_t kv, std::int32_t part, void* out, int thread) {
  ThreadScratch& scratch = scratch_[static_cast<std::size_t>(thread)];
  float* panel = reinterpret_cast<float*>(scratch.weights.data());
  float* sums = reinterpret_cast<float*>(scratch.rows.data());
  const std::int32_t first = part * part_steps_, last = std::min(first + part_steps_, tile.n_steps);
  const float* rows = weight_rows(*tile.slot, tile.ld, kv);
  const std::int32_t* deaths = death(*tile.slot, kv / kv_per_group_);
  const float* values = packed_values(layer, tile, kv);
  for (std::int32_t r = first * per_kv_; r < last * per_kv_; r += kPanelRows) {
    const std::int32_t n = std::min(kPanelRows, last * per_kv_ - r);
    const std::int32_t depth = tile.n_state + (r + n - 1) / per_kv_ + 1;
    const float* a[kPanelRows];
    float total[kPanelRows];
    for (std::int32_t i = 0; i < n; ++i) {
      a[i] = panel + static_cast<std::int64_t>(i) * tile.ld;
      total[i] = isa_.mask(rows + static_cast<std::int64_t>(r + i) * tile.ld, deaths, (r + i) / per_kv_,
                           static_cast<std::int32_t>(pad(depth)), panel + static_cast<std::int64_t>(i) * tile.ld);
    }
    isa_.multiply(a, n, depth, values, padded_dim_, padded_dim_, sums, padded_dim_);
    for (std::int32_t i = 0; i < n; ++i) {
      write_out(tile, kv, r + i, sums + static_cast<std::int64_t>(i) * padded_dim_, 1.0f / total[i], out);
    }
  }
}

// Scores, softmax and values in one go where deaths are known beforehand.
void Attention::attend_unscanned(std::int32_t layer, const Tile& tile, std::int32_t kv, std::int32_t part, void* out, int thread) {
  ThreadScratch& scratch = scratch_[static_cast<std::size_t>(thread)];
  float* weights = reinterpret_cast<float*>(scratch.weights.data());
  float* sums = reinterpret_cast<float*>(scratch.rows.data());
  const std::int32_t first = part * part_steps_, last = std::min(first + part_steps_, tile.n_steps);
  const std::int32_t d = shape_.head_dim, group = kv / kv_per_group_;
  const float* keys = reinterpret_cast<const float*>(tile.slot->keys.data()) + static_cast<std::int64_t>(kv) * d * columns_;
  const std::int32_t* positions = shape_.sliding_window > 0 ? tile.state->positions(layer, group) : nullptr;
  const std::int32_t* deaths = is_bounded(cache_) ? death(*tile.slot, group) : nullptr;
  const float* values = packed_values(layer, tile, kv);
  for (std::int32_t r = first * per_kv_; r < last * per_kv_; r += kPartRows) {
    const std::int32_t n = std::min(kPartRows, last * per_kv_ - r);
    const std::int32_t depth = tile.n_state + (r + n - 1) / per_kv_ + 1;
    const float* a[kPartRows];
    float total[kPartRows];
    for (std::int32_t i = 0; i < n; ++i) a[i] = query(tile, kv, r + i);
    isa_.multiply(a, n, d, keys, tile.ld, static_cast<std::int32_t>(pad(depth)), weights, tile.ld);
    for (std::int32_t i = 0; i < n; ++i) {
      float* row = weights + static_cast<std::int64_t>(i) * tile.ld;
      const std::int32_t step = (r + i) / per_kv_;
      total[i] = isa_.exponentiate(row, tile.n_state + step + 1, static_cast<std::int32_t>(pad(depth)), scale_, positions,
                                   hidden_below(tile.position + step), deaths, step);
      const std::int32_t evicted = tile.slot->evicted[static_cast<std::size_t>(step)];
      if (deaths != nullptr && evicted >= 0) {
        tile.slot->head_weight[static_cast<std::size_t>(kv * tile_ + step)] += static_cast<double>(row[evicted] / total[i]);
      }
      a[i] = row;
    }
    isa_.multiply(a, n, depth, values, padded_dim_, padded_dim_, sums, padded_dim_);
    for (std::int32_t i = 0; i < n; ++i) {
      write_out(tile, kv, r + i, sums + static_cast<std::int64_t>(i) * padded_dim_, 1.0f / total[i], out);
    }
  }
}

// `window`: token j is attended up to step j + k (sinks take their places from the k), sinks for ever.
void Attention::plan_window_deaths(std::int32_t layer, const Tile& tile) {
  Slot& slot = *tile.slot;
  std::fill(slot.evicted.begin(), slot.evicted.end(), -1);
  std::fill(slot.head_weight.begin(), slot.head_weight.end(), 0.0);
  if (!is_bounded(cache_)) return;
  const std::int32_t* positions = tile.state->positions(layer, 0);
  std::int32_t* deaths = death(slot, 0);
  for (std::int32_t j = 0; j < tile.ld; ++j) {
    deaths[j] = j < tile.n_columns() ? kAlive : -1;
    if (j >= tile.n_columns() || positions[j] < cache_.sinks) continue;
    const std::int64_t step = positions[j] + static_cast<std::int64_t>(cache_.cache_size - cache_.sinks) - tile.position;
    if (step >= tile.n_steps) continue;
    deaths[j] = static_cast<std::int32_t>(step);
    slot.evicted[static_cast<std::size_t>(step)] = j;
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
          const bool lives = !is_bounded(cache_) || deaths[j] >= step;
          events.n_attended += lives && positions[j] > hidden_below(tile.position + step);
        }
      } else {
        events.n_attended += static_cast<std::uint64_t>(living);
      }
      const auto at = static_cast<std::size_t>(g * tile_ + step);
      const std::int32_t column = slot.evicted[at];
      if (column < 0) continue;
      --living;
      double weight = static_cast<double>(slot.evicted_weight[at]);
      if (!needs_scan(cache_.policy)) {
        weight = 0.0;
        for (std::int32_t kv = 0; kv < shape_.n_kv_heads; ++kv) weight += slot.head_weight[static_cast<std::size_t>(kv * tile_ + step)];
        weight /= shape_.n_heads;
      }
      events.evictions.push_back({.position = positions[column],
                                  .step = static_cast<std::int32_t>(tile.position) + step,
                                  .group = g,
                                  .weight = static_cast<float>(weight)});
    }
  }
}

// Survivors from the end fill the places of the dead, so that the state's columns stay together; what the group knows of
// its columns moves here, keys and values in `compact`.
void Attention::leave(std::int32_t layer, const Tile& tile, std::int32_t group) {
  Slot& slot = *tile.slot;
  CpuState& state = *tile.state;
  std::int32_t& n_moves = slot.n_moves[static_cast<std::size_t>(group)];
  n_moves = 0;
  state.rotation(layer) = wanted_rotation(tile.position);
  state.n_columns(layer) = tile.n_columns();
  if (!is_bounded(cache_)) return;
  const std::int32_t* deaths = death(slot, group);
  std::int32_t n_dead = 0;
  for (std::int32_t step = 0; step < tile.n_steps; ++step) n_dead += slot.evicted[static_cast<std::size_t>(group * tile_ + step)] >= 0;
  const std::int32_t n_left = tile.n_columns() - n_dead;
  std::int32_t from = n_left;
  for (std::int32_t to = 0; to < n_left; ++to) {
    if (deaths[to] == kAlive) continue;
    while (deaths[from] != kAlive) ++from;
    const auto at = static_cast<std::size_t>(group * tile_ + n_moves++);
    slot.move_from[at] = from;
    slot.move_to[at] = to;
    state.positions(layer, group)[to] = state.positions(layer, group)[from];
    if (layout_.remembers) state.memory(layer, group)[to] = state.memory(layer, group)[from];
    if (layout_.averages) {
      state.decay_power(layer, group)[to] = state.decay_power(layer, group)[from];
      state.value_norm(layer, group)[to] = state.value_norm(layer, group)[from];
    }
    ++from;
  }
  state.n_columns(layer) = n_left;
}

void Attention::compact(std::int32_t layer, const Tile& tile, std::int32_t kv) {
  const Slot& slot = *tile.slot;
  CpuState& state = *tile.state;
  const std::int32_t group = kv / kv_per_group_;
  const std::size_t bytes = static_cast<std::size_t>(shape_.head_dim) * element_bytes(storage_);
  for (std::int32_t i = 0; i < slot.n_moves[static_cast<std::size_t>(group)]; ++i) {
    const auto at = static_cast<std::size_t>(group * tile_ + i);
    for (std::byte* head : {state.unrotated(layer, kv), state.rotated(layer, kv), state.values(layer, kv)}) {
      std::memcpy(storage_row(head, slot.move_to[at]), storage_row(head, slot.move_from[at]), bytes);
    }
  }
}

}  // namespace tovamill::cpu
