#include "kernels/cuda/attention.h"

#include <algorithm>
#include <cmath>
#include <cstring>

#include "kernels/error.h"

namespace tovamill::cuda {
namespace {

// Of the scratch of a wave: more tiles side by side than fill the GPU gain nothing.
constexpr std::int64_t kScratchBytes = std::int64_t{1} << 30;

std::int64_t padded(std::int64_t columns) {
  return (columns + kProductTile - 1) / kProductTile * kProductTile;
}

Rule rule_of(Policy policy) {
  switch (policy) {
    case Policy::tova:
    case Policy::tova_head:
      return Rule::newest_weight;
    case Policy::tova_ema:
      return Rule::moving_average;
    case Policy::h2o:
    case Policy::h2o_head:
      return Rule::accumulated;
    case Policy::window:
      return Rule::oldest;
    case Policy::full:
      break;
  }
  return Rule::none;
}

// Hands out parts of a piece one after another.
class Parts {
 public:
  explicit Parts(void* base) : at_(static_cast<unsigned char*>(base)) {}
  template <class T>
  T* take(std::int64_t n) {
    T* p = reinterpret_cast<T*>(at_);
    at_ += StateLayout::align(n * static_cast<std::int64_t>(sizeof(T)));
    return p;
  }

 private:
  unsigned char* at_;
};

template <class T>
std::int64_t bytes_of(std::int64_t n) {
  return StateLayout::align(n * static_cast<std::int64_t>(sizeof(T)));
}

}  // namespace

Attention::Attention(const BackendOptions& options, ElementType type, Arena& arena,
                     const Stream& stream)
    : options_(options),
      model_(options_.shape),
      cache_(options.cache),
      type_(type),
      arena_(arena),
      stream_(stream),
      clip_(clip_distance(options.cache, options.shape)) {
  const std::int32_t groups = n_groups(cache_, model_);
  layout_ = {.n_layers = model_.n_layers,
             .n_kv_heads = model_.n_kv_heads,
             .head_dim = model_.head_dim,
             .n_groups = groups,
             .element_bytes = static_cast<std::int32_t>(element_bytes(type)),
             .keeps_unrotated = rotates_again(cache_, clip_),
             .remembers = cache_.policy == Policy::h2o || cache_.policy == Policy::h2o_head ||
                          cache_.policy == Policy::tova_ema,
             .averages = cache_.policy == Policy::tova_ema};
  shape_ = {.n_heads = model_.n_heads,
            .n_kv_heads = model_.n_kv_heads,
            .head_dim = model_.head_dim,
            .per_kv = model_.queries_per_kv_head(),
            .n_groups = groups,
            .heads_per_group = model_.n_heads / groups,
            .kv_per_group = model_.n_kv_heads / groups,
            .sliding_window = model_.sliding_window,
            .eps = model_.rms_norm_eps,
            .scale = 1.0f / std::sqrt(static_cast<float>(model_.head_dim)),
            .in_state = cache_.positions == Positions::in_state};
  const auto rows = static_cast<std::size_t>(options.max_rows);
  device_tiles_ = arena.take(rows * sizeof(TileInfo), "the tiles of a step");
  device_row_tile_ = arena.take(rows * sizeof(std::int32_t), "the rows of a step");
  device_positions_ = arena.take(rows * sizeof(std::int64_t), "the positions of a step");
  angles_ = arena.take(rows * static_cast<std::size_t>(model_.head_dim) * sizeof(float),
                       "the angles of a step");
  inv_freq_ = arena.take(model_.inv_freq.size() * sizeof(double), "rotary frequencies");
  queries_ = arena.take(rows * static_cast<std::size_t>(model_.q_size()) * element_bytes(type),
                        "the queries of a step");
  events_ = arena.take(event_bytes(options.max_rows), "what leaves in a step");
  host_events_ = PinnedMemory(event_bytes(options.max_rows));
  staging_ = PinnedMemory(rows * (sizeof(TileInfo) + sizeof(std::int32_t) + sizeof(std::int64_t)) +
                          model_.inv_freq.size() * sizeof(double));
  std::memcpy(staging_.data(), model_.inv_freq.data(), model_.inv_freq.size() * sizeof(double));
  TOVAMILL_CUDA(cudaMemcpyAsync(inv_freq_.data(), staging_.data(),
                                model_.inv_freq.size() * sizeof(double), cudaMemcpyHostToDevice,
                                stream.get()));
  uploaded_.record(stream);
  make_room(capacity(kGroupTokens, false));
}

std::size_t Attention::event_bytes(std::int32_t n_rows) const {
  return static_cast<std::size_t>(layout_.n_layers) * static_cast<std::size_t>(n_rows) *
         static_cast<std::size_t>(layout_.n_groups) * sizeof(EventRecord);
}

// Growing states grow by an eighth: each column moves a few times at most, however long the stream.
std::int64_t Attention::capacity(std::int64_t n_tokens, bool keeps_all) const {
  const std::int64_t bounded = padded(static_cast<std::int64_t>(cache_.cache_size) +
                                      std::min<std::int64_t>(kGroupTokens, options_.max_block));
  if (is_bounded(cache_) && !keeps_all) return bounded;
  std::int64_t columns = kGroupTokens;
  while (columns < n_tokens)
    columns += std::max<std::int64_t>(1, columns / 8 / kGroupTokens) * kGroupTokens;
  return is_bounded(cache_) ? std::max(bounded, columns) : columns;
}

std::int64_t Attention::wanted_rotation(std::int64_t position) const {
  const std::int64_t group_start = position / kGroupTokens * kGroupTokens;
  if (cache_.positions == Positions::clipped) return std::max<std::int64_t>(0, group_start - clip_);
  return cache_.positions == Positions::in_state ? group_start : 0;
}

// ---- memory

// Of one tile with states of `ld` columns: scores, deaths, sums, who left, moves, and the scan's
// sums where they do not fit shared memory.
std::int64_t Attention::slot_bytes(std::int64_t ld) const {
  const std::int64_t heads = shape_.n_heads, groups = shape_.n_groups;
  return bytes_of<float>(heads * kGroupTokens * ld) + bytes_of<std::int32_t>(groups * ld) +
         3 * bytes_of<float>(heads * kGroupTokens) + 4 * bytes_of<float>(groups * kGroupTokens) +
         bytes_of<std::int32_t>(groups) +
         StateLayout::align(static_cast<std::int64_t>(
             scan_partial_bytes(shape_, 1, static_cast<std::int32_t>(ld))));
}

// Of one block of one token.
std::int64_t Attention::single_bytes(std::int64_t ld) const {
  return bytes_of<float>(shape_.n_heads * ld) + bytes_of<float>(shape_.n_heads) +
         3 * bytes_of<float>(shape_.n_groups * ld) + bytes_of<unsigned>(shape_.n_groups) +
         bytes_of<EventRecord>(shape_.n_groups * ld);
}

// For as many tiles as the step may have, within kScratchBytes, but for one at least.
std::int64_t Attention::scratch_bytes(std::int64_t n_columns) const {
  const std::int64_t ld = padded(n_columns), each = std::max(slot_bytes(ld), single_bytes(ld));
  const std::int64_t rows = options_.max_rows;
  const std::int64_t most = std::max(
      slot_bytes(ld) * ((rows + kGroupTokens - 1) / kGroupTokens + 1), single_bytes(ld) * rows);
  return std::max(each, std::min(most, kScratchBytes));
}

void Attention::make_room(std::int64_t n_columns) {
  if (n_columns <= scratch_columns_) return;
  const auto bytes = static_cast<std::size_t>(scratch_bytes(n_columns));
  if (bytes > scratch_.size()) {
    stream_.synchronize();
    scratch_ = ArenaPiece();
    scratch_columns_ = 0;
    scratch_ = arena_.take(bytes, "the scratch of attention");
  }
  scratch_columns_ = n_columns;
}

std::uint64_t Attention::workspace_bytes() const {
  return scratch_.size() + device_tiles_.size() + device_row_tile_.size() +
         device_positions_.size() + angles_.size() + inv_freq_.size() + queries_.size() +
         events_.size();
}

std::uint64_t Attention::workspace_bytes_for(std::int64_t n_tokens, bool keeps_all) const {
  const auto grown = static_cast<std::uint64_t>(scratch_bytes(capacity(n_tokens, keeps_all)));
  return workspace_bytes() - scratch_.size() + std::max<std::uint64_t>(scratch_.size(), grown);
}

void Attention::resize(CudaState& state, std::int64_t capacity) {
  if (state.capacity == capacity) return;
  const auto bytes = static_cast<std::size_t>(layout_.layer_bytes(capacity)) *
                     static_cast<std::size_t>(layout_.n_layers);
  ArenaPiece memory = arena_.take(bytes, "the state of a stream");
  // Values that no token has written are multiplied by a weight of 0: they must be numbers.
  TOVAMILL_CUDA(cudaMemsetAsync(memory.data(), 0, bytes, stream_.get()));
  if (state.n_held > 0) {
    const std::int64_t row = static_cast<std::int64_t>(layout_.head_dim) * layout_.element_bytes;
    for (std::int32_t l = 0; l < layout_.n_layers; ++l) {
      const auto* from = state.data() + l * layout_.layer_bytes(state.capacity);
      auto* to = static_cast<unsigned char*>(memory.data()) + l * layout_.layer_bytes(capacity);
      copy_arrays(to, layout_.head_bytes(capacity), from, layout_.head_bytes(state.capacity),
                  row * state.n_held, layout_.n_kv_heads * layout_.n_head_arrays());
      from += layout_.n_kv_heads * layout_.n_head_arrays() * layout_.head_bytes(state.capacity);
      to += layout_.n_kv_heads * layout_.n_head_arrays() * layout_.head_bytes(capacity);
      copy_arrays(to, layout_.row_bytes(capacity), from, layout_.row_bytes(state.capacity),
                  4 * state.n_held, layout_.n_groups * layout_.n_row_arrays());
    }
  }
  stream_.synchronize();  // the old memory may be another state's from now on
  state.memory = std::move(memory);
  state.capacity = capacity;
}

void Attention::copy_arrays(unsigned char* to, std::int64_t to_pitch, const unsigned char* from,
                            std::int64_t from_pitch, std::int64_t width, std::int64_t n) const {
  TOVAMILL_CUDA(cudaMemcpy2DAsync(to, static_cast<std::size_t>(to_pitch), from,
                                  static_cast<std::size_t>(from_pitch),
                                  static_cast<std::size_t>(width), static_cast<std::size_t>(n),
                                  cudaMemcpyDeviceToDevice, stream_.get()));
}

void Attention::copy(const CudaState& from, CudaState& to) {
  if (to.capacity != from.capacity) {
    CudaState empty;
    resize(empty, from.capacity);
    to.memory = std::move(empty.memory);
    to.capacity = from.capacity;
  }
  TOVAMILL_CUDA(cudaMemcpyAsync(to.data(), from.data(), from.memory.size(),
                                cudaMemcpyDeviceToDevice, stream_.get()));
  to.n_held = from.n_held;
  to.n_tokens = from.n_tokens;
  to.rotation = from.rotation;
  to.group_base = from.group_base;
  to.pin = from.pin;
}

// ---- laying out a step

// Columns of a state that holds `n_held` and takes `n` more tokens.
std::int64_t Attention::held_after(const StepBlock& block, std::int64_t n_held,
                                   std::int64_t n) const {
  if (!is_bounded(cache_) || block.keeps_all) return n_held + n;
  return std::min<std::int64_t>(n_held + n, cache_.cache_size);
}

// The block's room: of its state, and of the scratch. Nothing of the state has changed but its size
// where it throws.
void Attention::fit(const StepBlock& block) {
  auto& state = *static_cast<CudaState*>(block.state);
  check_block(cache_, block, state.n_held);
  if (block.position != state.n_tokens)
    throw Error(ExitCode::internal, "a block begins at position " + std::to_string(block.position) +
                                        " where its stream is at " +
                                        std::to_string(state.n_tokens));
  const bool grows = !is_bounded(cache_) || block.keeps_all || state.n_held > cache_.cache_size;
  if (grows) {
    const std::int64_t wanted = capacity(state.n_held + block.n_tokens, true);
    if (wanted > state.capacity) resize(state, wanted);
    make_room(state.n_held + block.n_tokens);
  }
}

void Attention::finish_step() {
  for (const StepBlock& block : blocks_) {
    auto& state = *static_cast<CudaState*>(block.state);
    if (!is_bounded(cache_) || block.keeps_all || state.capacity <= capacity(0, false)) continue;
    resize(state, capacity(0, false));
  }
}

void Attention::begin_step(std::span<const StepBlock> blocks, std::int32_t n_rows) {
  blocks_.assign(blocks.begin(), blocks.end());
  n_rows_ = n_rows;
  for (const StepBlock& block : blocks_) fit(block);
  held_before_.clear();
  for (const StepBlock& block : blocks_)
    held_before_.push_back(static_cast<const CudaState*>(block.state)->n_held);
  lay_out();
  upload();
}

// The next tile of a block whose first `done` tokens are laid out; takes the state past it.
TileInfo Attention::next_tile(const StepBlock& block, std::int32_t done) {
  auto& state = *static_cast<CudaState*>(block.state);
  const CacheOptions cache = block_options(cache_, block.pin);
  const std::int64_t position = block.position + done;
  const bool is_h2o = cache_.policy == Policy::h2o || cache_.policy == Policy::h2o_head;
  TileInfo t{};
  t.state = state.data();
  t.capacity = state.capacity;
  t.position = position;
  t.first_row = t.event_row = block.first_row + done;
  t.n_steps = static_cast<std::int32_t>(
      std::min<std::int64_t>(block.n_tokens - done, kGroupTokens - position % kGroupTokens));
  t.n_state = static_cast<std::int32_t>(state.n_held);
  t.rotation = wanted_rotation(position);
  t.rotates = layout_.keeps_unrotated && t.rotation != state.rotation ? 1 : 0;
  t.drops = is_bounded(cache_) && !block.keeps_all ? 1 : 0;
  t.rule = {.rule = rule_of(cache_.policy),
            .cache_size = cache_.cache_size,
            .first_free = cache_.policy == Policy::window ? cache.sinks : cache.pin,
            .recent = is_h2o ? protected_recent(cache) : 0,
            .decay = static_cast<float>(cache_.ema)};
  if (position % kGroupTokens == 0) state.group_base = state.n_held;
  state.n_held = held_after(block, state.n_held, t.n_steps);
  state.n_tokens = position + t.n_steps;
  state.rotation = t.rotation;
  if (is_bounded(cache_)) state.pin = block.pin;
  return t;
}

// Of the tile's rows.
void Attention::place_rows(const TileInfo& tile, const CudaState& state) {
  for (std::int32_t i = 0; i < tile.n_steps; ++i) {
    const std::int64_t position = tile.position + i;
    std::int64_t place = position;
    if (cache_.positions == Positions::clipped) place = position - tile.rotation;
    if (cache_.positions == Positions::in_state) place = state.group_base + position % kGroupTokens;
    positions_[static_cast<std::size_t>(tile.first_row + i)] = place;
  }
}

// All first tiles, then all second ones, and so on: those of a block follow each other.
void Attention::lay_out() {
  tiles_.clear();
  tile_blocks_.clear();
  waves_.clear();
  drops_.clear();
  positions_.assign(static_cast<std::size_t>(n_rows_), 0);
  row_tile_.assign(static_cast<std::size_t>(n_rows_), -1);
  std::vector<std::int32_t> done(blocks_.size(), 0);
  for (bool any = true; any;) {
    any = false;
    for (const Way way : {Way::single, Way::scanned, Way::planned}) {
      std::vector<std::pair<TileInfo, std::size_t>> tiles;
      for (std::size_t b = 0; b < blocks_.size(); ++b) {
        const StepBlock& block = blocks_[b];
        if (done[b] >= block.n_tokens || way_of(block) != way) continue;
        const TileInfo tile = next_tile(block, done[b]);
        place_rows(tile, *static_cast<const CudaState*>(block.state));
        done[b] += tile.n_steps;
        tiles.emplace_back(tile, b);
      }
      any = any || !tiles.empty();
      add_waves(tiles, way);
    }
  }
}

Attention::Way Attention::way_of(const StepBlock& block) const {
  if (block.n_tokens == 1) return Way::single;
  return needs_scan(cache_.policy) && !block.keeps_all ? Way::scanned : Way::planned;
}

// As many side by side as there is scratch for.
void Attention::add_waves(const std::vector<std::pair<TileInfo, std::size_t>>& tiles, Way way) {
  std::size_t begin = 0;
  while (begin < tiles.size()) {
    Wave wave{.way = way, .first = static_cast<std::int32_t>(tiles_.size())};
    std::size_t end = begin;
    for (; end < tiles.size(); ++end) {
      const TileInfo& t = tiles[end].first;
      const std::int32_t columns = std::max(wave.max_columns, t.n_columns());
      const std::int64_t ld = padded(columns),
                         each = way == Way::single ? single_bytes(ld) : slot_bytes(ld);
      if (end > begin && each * static_cast<std::int64_t>(end - begin + 1) >
                             static_cast<std::int64_t>(scratch_.size()))
        break;
      wave.max_columns = columns;
      wave.max_steps = std::max(wave.max_steps, t.n_steps);
      wave.max_drops =
          std::max(wave.max_drops, t.drops != 0 ? t.n_columns() - t.rule.cache_size : 0);
      wave.rotates |= t.rotates;
      for (std::int32_t i = 0; i < t.n_steps; ++i)
        row_tile_[static_cast<std::size_t>(t.first_row + i)] =
            static_cast<std::int32_t>(tiles_.size());
      tiles_.push_back(t);
      tile_blocks_.push_back(tiles[end].second);
    }
    wave.n_tiles = static_cast<std::int32_t>(end - begin);
    waves_.push_back(wave);
    begin = end;
  }
}

void Attention::upload() {
  if (n_rows_ == 0 || tiles_.empty()) return;
  uploaded_.synchronize();  // the staging memory has been read
  std::byte* at = staging_.data();
  const auto put = [&](const auto& values, const ArenaPiece& to) {
    const std::size_t n = values.size() * sizeof(values[0]);
    std::memcpy(at, values.data(), n);
    TOVAMILL_CUDA(cudaMemcpyAsync(to.data(), at, n, cudaMemcpyHostToDevice, stream_.get()));
    at += n;
  };
  put(tiles_, device_tiles_);
  put(positions_, device_positions_);
  put(row_tile_, device_row_tile_);
  uploaded_.record(stream_);
  fill_angles(static_cast<const std::int64_t*>(device_positions_.data()),
              static_cast<const double*>(inv_freq_.data()), model_.head_dim / 2,
              static_cast<float*>(angles_.data()), n_rows_, stream_);
}

// ---- running it

void Attention::run(std::int32_t layer, const float* q_norm, const float* k_norm, const float* qkv,
                    void* out) {
  for (const Wave& wave : waves_) {
    if (type_ == ElementType::bf16) {
      run_wave<Bf16>(wave, layer, q_norm, k_norm, qkv, static_cast<Bf16*>(out));
    } else {
      run_wave<float>(wave, layer, q_norm, k_norm, qkv, static_cast<float*>(out));
    }
  }
}

EventRecord* Attention::events_of(std::int32_t layer) const {
  return static_cast<EventRecord*>(events_.data()) +
         static_cast<std::int64_t>(layer) * n_rows_ * shape_.n_groups;
}

template <class T>
void Attention::run_wave(const Wave& wave, std::int32_t layer, const float* q_norm,
                         const float* k_norm, const float* qkv, T* out) {
  const TileInfo* tiles = static_cast<const TileInfo*>(device_tiles_.data()) + wave.first;
  T* queries = static_cast<T*>(queries_.data());
  if (wave.rotates != 0)
    rotate_again<T>({shape_, layout_, layer, tiles, static_cast<const double*>(inv_freq_.data())},
                    wave.n_tiles, stream_);
  join<T>({shape_, layout_, layer, static_cast<const TileInfo*>(device_tiles_.data()), wave.first,
           wave.first + wave.n_tiles, static_cast<const std::int32_t*>(device_row_tile_.data()),
           qkv, static_cast<const float*>(angles_.data()), q_norm, k_norm, queries},
          n_rows_, stream_);
  if (wave.way == Way::single) return run_singles(wave, layer, out);
  const std::int64_t ld = padded(wave.max_columns), n = wave.n_tiles;
  Parts parts(scratch_.data());
  WaveScratch s{};
  s.ld = static_cast<std::int32_t>(ld);
  s.scores = parts.take<float>(n * shape_.n_heads * kGroupTokens * ld);
  s.death = parts.take<std::int32_t>(n * shape_.n_groups * ld);
  s.row_max = parts.take<float>(n * shape_.n_heads * kGroupTokens);
  s.row_scale = parts.take<float>(n * shape_.n_heads * kGroupTokens);
  s.head_weight = parts.take<float>(n * shape_.n_heads * kGroupTokens);
  s.evicted = parts.take<std::int32_t>(n * shape_.n_groups * kGroupTokens);
  s.evicted_weight = parts.take<float>(n * shape_.n_groups * kGroupTokens);
  s.move_from = parts.take<std::int32_t>(n * shape_.n_groups * kGroupTokens);
  s.move_to = parts.take<std::int32_t>(n * shape_.n_groups * kGroupTokens);
  s.n_moves = parts.take<std::int32_t>(n * shape_.n_groups);
  const bool needs_partial = scan_partial_bytes(shape_, wave.n_tiles, s.ld) > 0;
  float* partial =
      needs_partial ? parts.take<float>(n * shape_.n_groups * kScanWarps * ld) : nullptr;
  const bool scans = wave.way == Way::scanned;
  const ScanArguments scan{shape_, layout_, layer, tiles, s, partial};
  score_tiles<T>({shape_, layout_, layer, tiles, queries, s}, wave.n_tiles, wave.max_columns,
                 wave.max_steps, stream_);
  if (scans) {
    scan_tiles(scan, wave.n_tiles, stream_);
  } else {
    plan_deaths(scan, wave.n_tiles, stream_);
  }
  weigh_tiles<T>({shape_, layout_, layer, tiles, s, scans, !scans, out}, wave.n_tiles,
                 wave.max_steps, stream_);
  const LeaveArguments leaving{shape_, layout_, layer, tiles, s, !scans, events_of(layer)};
  leave(leaving, wave.n_tiles, stream_);
  if (is_bounded(cache_)) compact<T>(leaving, wave.n_tiles, stream_);
}

template <class T>
void Attention::run_singles(const Wave& wave, std::int32_t layer, T* out) {
  const std::int64_t ld = padded(wave.max_columns), n = wave.n_tiles, groups = shape_.n_groups;
  Parts parts(scratch_.data());
  DecodeArguments<T> a{};
  a.shape = shape_;
  a.layout = layout_;
  a.layer = layer;
  a.tiles = static_cast<const TileInfo*>(device_tiles_.data()) + wave.first;
  a.queries = static_cast<const T*>(queries_.data());
  a.out = out;
  a.ld = static_cast<std::int32_t>(ld);
  a.weights = parts.take<float>(n * shape_.n_heads * ld);
  a.inverse_sum = parts.take<float>(n * shape_.n_heads);
  a.mean = parts.take<float>(n * groups * ld);
  a.death = parts.take<std::int32_t>(n * groups * ld);
  a.move_to = parts.take<std::int32_t>(n * groups * ld);
  a.n_done = parts.take<unsigned>(n * groups);
  a.max_drops = wave.max_drops;
  a.drops = wave.max_drops > 1 ? parts.take<EventRecord>(n * groups * wave.max_drops) : nullptr;
  a.events = events_of(layer);
  TOVAMILL_CUDA(cudaMemsetAsync(
      a.n_done, 0, static_cast<std::size_t>(n * groups) * sizeof(unsigned), stream_.get()));
  decode(a, wave.n_tiles, stream_);
  if (a.drops != nullptr) keep_drops(wave, layer, a.drops);
}

// States that are brought down at once lose many tokens after one query: rare, and waited for.
void Attention::keep_drops(const Wave& wave, std::int32_t layer, const EventRecord* drops) {
  const auto n = static_cast<std::size_t>(wave.n_tiles) *
                 static_cast<std::size_t>(shape_.n_groups) *
                 static_cast<std::size_t>(wave.max_drops);
  std::vector<EventRecord> records(n);
  TOVAMILL_CUDA(cudaMemcpyAsync(records.data(), drops, n * sizeof(EventRecord),
                                cudaMemcpyDeviceToHost, stream_.get()));
  stream_.synchronize();
  for (std::int32_t i = 0; i < wave.n_tiles; ++i) {
    const TileInfo& t = tiles_[static_cast<std::size_t>(wave.first + i)];
    const std::int32_t n_drops = t.drops != 0 ? std::max(0, t.n_columns() - t.rule.cache_size) : 0;
    for (std::int32_t g = 0; g < shape_.n_groups; ++g) {
      const auto first =
          records.begin() + (static_cast<std::ptrdiff_t>(i) * shape_.n_groups + g) * wave.max_drops;
      drops_.push_back({layer,
                        g,
                        tile_blocks_[static_cast<std::size_t>(wave.first + i)],
                        {first, first + n_drops}});
    }
  }
}

void Attention::fetch_events() {
  if (n_rows_ == 0) return;
  TOVAMILL_CUDA(cudaMemcpyAsync(host_events_.data(), events_.data(), event_bytes(n_rows_),
                                cudaMemcpyDeviceToHost, stream_.get()));
}

void Attention::read_events(std::int32_t layer, std::size_t block, BlockEvents& events) const {
  const StepBlock& b = blocks_[block];
  const auto* records = reinterpret_cast<const EventRecord*>(host_events_.data()) +
                        static_cast<std::int64_t>(layer) * n_rows_ * shape_.n_groups;
  events.evictions.clear();
  events.n_attended = 0;
  const auto add = [&](const EventRecord& r, std::int64_t step, std::int32_t group) {
    events.evictions.push_back({.position = r.position,
                                .step = static_cast<std::int32_t>(step),
                                .group = group,
                                .weight = r.weight});
  };
  const bool drops_many = std::any_of(drops_.begin(), drops_.end(), [&](const Drops& d) {
    return d.layer == layer && d.block == block;
  });
  std::int64_t n_held = held_before_[block];
  for (std::int32_t g = 0; g < shape_.n_groups; ++g) {
    std::int64_t held = n_held;
    for (std::int32_t i = 0; i < b.n_tokens; ++i) {
      const EventRecord& r =
          records[static_cast<std::int64_t>(b.first_row + i) * shape_.n_groups + g];
      events.n_attended +=
          static_cast<std::uint64_t>(shape_.sliding_window > 0 ? r.n_attended : held + 1);
      held = held_after(b, held, 1);
      if (!drops_many && r.position >= 0) add(r, b.position + i, g);
    }
    for (const Drops& d : drops_) {
      if (d.layer != layer || d.block != block || d.group != g) continue;
      for (const EventRecord& r : d.records) add(r, b.position, g);
    }
  }
}

}  // namespace tovamill::cuda
