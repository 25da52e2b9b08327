#include "kernels/cuda/attention/attention.h"

#include <cstring>

namespace tovamill::cuda {

Attention::Attention(const AttentionModel& model, Arena& arena, const Stream& stream,
                     StepTimer& timer)
    : model_(model),
      stream_(stream),
      timer_(timer),
      scratch_(model, arena),
      layout_(model),
      events_(model, arena) {
  const auto rows = static_cast<std::size_t>(model.max_rows());
  const ModelShape& shape = model.model();
  const std::size_t freq_bytes = shape.inv_freq.size() * sizeof(double);
  tiles_ = arena.take(rows * sizeof(TileInfo), "the tiles of a step");
  row_tiles_ = arena.take(rows * sizeof(std::int32_t), "the rows of a step");
  positions_ = arena.take(rows * sizeof(std::int64_t), "the positions of a step");
  angles_ = arena.take(rows * static_cast<std::size_t>(shape.head_dim) * sizeof(float),
                       "the angles of a step");
  inv_freq_ = arena.take(freq_bytes, "rotary frequencies");
  queries_ =
      arena.take(rows * static_cast<std::size_t>(shape.q_size()) * element_bytes(model.type()),
                 "the queries of a step");
  staging_ = PinnedMemory(rows * (sizeof(TileInfo) + sizeof(std::int32_t) + sizeof(std::int64_t)) +
                          freq_bytes);
  std::memcpy(staging_.data(), shape.inv_freq.data(), freq_bytes);
  TOVAMILL_CUDA(cudaMemcpyAsync(inv_freq_.data(), staging_.data(), freq_bytes,
                                cudaMemcpyHostToDevice, stream.get()));
  stream.synchronize();
}

std::size_t Attention::workspace_bytes() const {
  return scratch_.size() + events_.size() + tiles_.size() + row_tiles_.size() + positions_.size() +
         angles_.size() + inv_freq_.size() + queries_.size();
}

std::size_t Attention::workspace_bytes_for(std::int64_t n_columns) const {
  return workspace_bytes() - scratch_.size() + scratch_.size_for(n_columns);
}

void Attention::begin_step(std::span<const StepBlock> blocks, std::int32_t n_rows) {
  layout_.lay_out(blocks, n_rows, scratch_);
  events_.begin_step(layout_);
  upload();
}

// A tile's 120 bytes, and 12 bytes and head_dim / 2 sines and cosines a row.
void Attention::upload() {
  if (layout_.n_rows() == 0 || layout_.tiles().empty()) return;
  std::byte* at = staging_.data();
  const auto put = [&](const auto& values, const ArenaBlock& to) {
    const std::size_t n = values.size() * sizeof(values[0]);
    std::memcpy(at, values.data(), n);
    TOVAMILL_CUDA(cudaMemcpyAsync(to.data(), at, n, cudaMemcpyHostToDevice, stream_.get()));
    at += n;
  };
  put(layout_.tiles(), tiles_);
  put(layout_.positions(), positions_);
  put(layout_.row_tiles(), row_tiles_);
  fill_angles(static_cast<const std::int64_t*>(positions_.data()),
              static_cast<const double*>(inv_freq_.data()), model_.model().head_dim / 2,
              static_cast<float*>(angles_.data()), layout_.n_rows(), stream_);
}

void Attention::run(std::int32_t layer, const float* q_norm, const float* k_norm, const float* qkv,
                    void* out) {
  for (const Wave& wave : layout_.waves()) {
    if (model_.type() == ElementType::bf16) {
      run_wave<Bf16>(wave, layer, q_norm, k_norm, qkv, static_cast<Bf16*>(out));
    } else {
      run_wave<float>(wave, layer, q_norm, k_norm, qkv, static_cast<float*>(out));
    }
  }
}

template <class T>
void Attention::run_wave(const Wave& wave, std::int32_t layer, const float* q_norm,
                         const float* k_norm, const float* qkv, T* out) {
  const auto* tiles = static_cast<const TileInfo*>(tiles_.data());
  float* partial = nullptr;
  WaveScratch slots{};
  if (wave.way != Way::single) slots = scratch_.tiles(wave.n_tiles, wave.max_columns, partial);
  timer_.enter(StepPart::states, stream_);
  if (wave.rotates != 0)
    rotate_again<T>({model_.shape(), model_.layout(), layer, tiles + wave.first,
                     static_cast<const double*>(inv_freq_.data())},
                    wave.n_tiles, stream_);
  join<T>({model_.shape(), model_.layout(), layer, tiles, wave.first, wave.first + wave.n_tiles,
           static_cast<const std::int32_t*>(row_tiles_.data()), qkv,
           static_cast<const float*>(angles_.data()), q_norm, k_norm,
           static_cast<T*>(queries_.data()), slots.joining},
          layout_.n_rows(), stream_);
  if (wave.way == Way::single) return run_singles(wave, layer, out);
  run_tiles(wave, slots, partial, layer, out);
}

template <class T>
void Attention::run_tiles(const Wave& wave, const WaveScratch& s, float* partial,
                          std::int32_t layer, T* out) {
  const AttentionShape& shape = model_.shape();
  const StateLayout& layout = model_.layout();
  const TileInfo* tiles = static_cast<const TileInfo*>(tiles_.data()) + wave.first;
  const bool scans = wave.way == Way::scanned;
  const ScanArguments scan{shape, layout, layer, tiles, s, partial};
  timer_.enter(StepPart::scores, stream_);
  score_tiles<T>({shape, layout, layer, tiles, static_cast<const T*>(queries_.data()), s},
                 wave.n_tiles, wave.max_columns, wave.max_steps, stream_);
  timer_.enter(StepPart::scan, stream_);
  if (scans) {
    scan_tiles(scan, wave.n_tiles, stream_);
  } else {
    plan_deaths(scan, wave.n_tiles, stream_);
  }
  timer_.enter(StepPart::values, stream_);
  weigh_tiles<T>({shape, layout, layer, tiles, s, scans, !scans, out}, wave.n_tiles, wave.max_steps,
                 stream_);
  timer_.enter(StepPart::states, stream_);
  const LeaveArguments leaving{shape, layout, layer, tiles, s, !scans, events_.of(layer)};
  leave(leaving, wave.n_tiles, stream_);
  if (is_bounded(model_.cache())) compact<T>(leaving, wave.n_tiles, stream_);
}

template <class T>
void Attention::run_singles(const Wave& wave, std::int32_t layer, T* out) {
  DecodeArguments<T> a{};
  a.shape = model_.shape();
  a.layout = model_.layout();
  a.layer = layer;
  a.tiles = static_cast<const TileInfo*>(tiles_.data()) + wave.first;
  a.queries = static_cast<const T*>(queries_.data());
  a.out = out;
  a.max_drops = wave.max_drops;
  scratch_.give_singles(wave.n_tiles, wave.max_columns, a);
  a.events = events_.of(layer);
  timer_.enter(StepPart::decode, stream_);
  const std::size_t n_eviction_groups =
      static_cast<std::size_t>(wave.n_tiles) * static_cast<std::size_t>(a.shape.n_eviction_groups);
  TOVAMILL_CUDA(cudaMemsetAsync(a.n_done, 0, n_eviction_groups * sizeof(unsigned), stream_.get()));
  decode(a, wave.n_tiles, stream_);
  if (a.drops != nullptr) events_.keep_drops(wave, layer, a.drops, stream_);
}

}  // namespace tovamill::cuda
