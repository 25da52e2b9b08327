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
  const auto dim = static_cast<std::size_t>(shape.head_dim);
  const std::size_t freq_bytes = shape.ropes.size() * dim / 2 * sizeof(double);
  const std::size_t n_tiles =
      rows * (model.layers_differ() ? static_cast<std::size_t>(shape.n_layers) : 1);
  tiles_ = arena.take(n_tiles * sizeof(TileInfo), "the tiles of a step");
  if (model.merges()) merge_scratch_ = arena.take(merge_scratch_bytes(), "the merge of tokens");
  row_tiles_ = arena.take(rows * sizeof(std::int32_t), "the rows of a step");
  positions_ = arena.take(rows * sizeof(std::int64_t), "the positions of a step");
  angles_ = arena.take(shape.ropes.size() * rows * dim * sizeof(float), "the angles of a step");
  inv_freq_ = arena.take(freq_bytes, "rotary frequencies");
  queries_ =
      arena.take(rows * static_cast<std::size_t>(shape.q_size()) * element_bytes(model.type()),
                 "the queries of a step");
  staging_ = PinnedMemory(n_tiles * sizeof(TileInfo) +
                          rows * (sizeof(std::int32_t) + sizeof(std::int64_t)) + freq_bytes);
  for (std::size_t r = 0; r < shape.ropes.size(); ++r)
    std::memcpy(staging_.data() + r * dim / 2 * sizeof(double), shape.ropes[r].data(),
                shape.ropes[r].size() * sizeof(double));
  TOVAMILL_CUDA(cudaMemcpyAsync(inv_freq_.data(), staging_.data(), freq_bytes,
                                cudaMemcpyHostToDevice, stream.get()));
  stream.synchronize();
}

std::size_t Attention::workspace_bytes() const {
  return scratch_.size() + events_.size() + tiles_.size() + row_tiles_.size() + positions_.size() +
         angles_.size() + inv_freq_.size() + queries_.size() + merge_scratch_.size();
}

std::size_t Attention::workspace_bytes_for(std::int64_t n_slots) const {
  return workspace_bytes() - scratch_.size() + scratch_.size_for(n_slots);
}

std::size_t Attention::merge_scratch_bytes() const {
  return kMergeBlocks *
         merge_floats(model_.shape(), model_.cache().merge,
                      static_cast<std::int32_t>(model_.capacity(0, false))) *
         sizeof(float);
}

// Those of the layer, where each has its own.
const TileInfo* Attention::tiles_of(std::int32_t layer) const {
  const auto* tiles = static_cast<const TileInfo*>(tiles_.data());
  return model_.layers_differ() ? tiles + static_cast<std::int64_t>(layer) * model_.max_rows()
                                : tiles;
}

void Attention::begin_step(std::span<const StepBlock> blocks, std::int32_t n_rows) {
  layout_.lay_out(blocks, n_rows, scratch_);
  events_.begin_step(layout_);
  upload();
}

const double* Attention::inv_freq(std::int32_t rope) const {
  return static_cast<const double*>(inv_freq_.data()) + rope * (model_.model().head_dim / 2);
}

std::int32_t Attention::half_of(std::int32_t rope) const {
  return static_cast<std::int32_t>(model_.model().ropes[static_cast<std::size_t>(rope)].size());
}

float* Attention::angles(std::int32_t rope) const {
  return static_cast<float*>(angles_.data()) +
         static_cast<std::int64_t>(rope) * model_.max_rows() * model_.model().head_dim;
}

// Copies 144 bytes a tile, of each layer where layers differ, 12 bytes a row; computes head_dim / 2
// cosines and sines a row.
void Attention::upload() {
  if (layout_.n_rows() == 0 || layout_.tiles().empty()) return;
  std::byte* at = staging_.data();
  const auto put = [&](const auto& values, const ArenaBlock& to) {
    const std::size_t n = values.size() * sizeof(values[0]);
    std::memcpy(at, values.data(), n);
    TOVAMILL_CUDA(cudaMemcpyAsync(to.data(), at, n, cudaMemcpyHostToDevice, stream_.get()));
    at += n;
  };
  if (model_.layers_differ()) {
    at += upload_layer_tiles(at);
  } else {
    put(layout_.tiles(), tiles_);
  }
  put(layout_.positions(), positions_);
  put(layout_.row_tiles(), row_tiles_);
  const auto n_ropes = static_cast<std::int32_t>(model_.model().ropes.size());
  for (std::int32_t rope = 0; rope < n_ropes; ++rope)
    fill_angles(static_cast<const std::int64_t*>(positions_.data()), inv_freq(rope), half_of(rope),
                angles(rope), layout_.n_rows(), stream_);
}

// Through `staging`; says how much of it.
std::size_t Attention::upload_layer_tiles(std::byte* staging) const {
  const std::vector<TileInfo>& tiles = layout_.layer_tiles();
  const std::size_t n_bytes = tiles.size() * sizeof(TileInfo),
                    n_layers = static_cast<std::size_t>(model_.model().n_layers),
                    row = n_bytes / n_layers,
                    pitch = static_cast<std::size_t>(model_.max_rows()) * sizeof(TileInfo);
  std::memcpy(staging, tiles.data(), n_bytes);
  TOVAMILL_CUDA(cudaMemcpy2DAsync(tiles_.data(), pitch, staging, row, row, n_layers,
                                  cudaMemcpyHostToDevice, stream_.get()));
  return n_bytes;
}

void Attention::run(std::int32_t layer, const AttentionRowWeights& weights, const float* sinks,
                    const float* qkv, void* out) {
  AttentionShape shape = model_.shape(layer);
  shape.sinks = sinks;
  for (const TileBatch& batch : layout_.batches()) {
    if (model_.type() == ComputeType::bf16) {
      run_batch<Bf16>(batch, shape, layer, weights, qkv, static_cast<Bf16*>(out));
    } else {
      run_batch<float>(batch, shape, layer, weights, qkv, static_cast<float*>(out));
    }
  }
}

template <class T>
void Attention::run_batch(const TileBatch& batch, const AttentionShape& shape, std::int32_t layer,
                          const AttentionRowWeights& weights, const float* qkv, T* out) {
  const TileInfo* tiles = tiles_of(layer);
  float* partial = nullptr;
  TileScratch scratch{};
  if (batch.kind != TileKind::decode)
    scratch = scratch_.tiles(batch.n_tiles, batch.max_slots, partial);
  timer_.enter(StepPart::states, stream_);
  const std::int32_t rope = model_.model().layer(layer).rope;
  const MergeArguments<T> merging = merge_arguments<T>(batch, layer, scratch);
  if (shape.n_merged > 0) begin_merging(merging, batch.n_tiles, stream_);
  if (batch.rotates != 0 && rope != kNoRope)
    rotate_again<T>({shape, model_.layout(layer), layer, tiles + batch.first, inv_freq(rope)},
                    batch.n_tiles, stream_);
  append<T>({shape, model_.layout(layer), layer, tiles, batch.first, batch.first + batch.n_tiles,
             static_cast<const std::int32_t*>(row_tiles_.data()), qkv,
             rope == kNoRope ? nullptr : angles(rope), weights, static_cast<T*>(queries_.data()),
             scratch.appended},
            layout_.n_rows(), stream_);
  if (batch.kind == TileKind::decode) return run_decode(batch, shape, layer, out);
  run_tiles(batch, shape, scratch, partial, layer, out);
}

template <class T>
MergeArguments<T> Attention::merge_arguments(const TileBatch& batch, std::int32_t layer,
                                             const TileScratch& scratch) const {
  const std::int32_t rope = model_.model().layer(layer).rope;
  return {model_.shape(layer),
          model_.layout(layer),
          layer,
          tiles_of(layer) + batch.first,
          static_cast<const T*>(queries_.data()),
          rope == kNoRope ? nullptr : inv_freq(rope),
          scratch,
          static_cast<float*>(merge_scratch_.data()),
          model_.cache().merge,
          static_cast<std::int32_t>(model_.capacity(0, false))};
}

template <class T>
void Attention::run_tiles(const TileBatch& batch, const AttentionShape& shape, const TileScratch& s,
                          float* partial, std::int32_t layer, T* out) {
  const StateLayout& layout = model_.layout(layer);
  const TileInfo* tiles = tiles_of(layer) + batch.first;
  const MergeArguments<T> merging = merge_arguments<T>(batch, layer, s);
  const bool scans = batch.kind == TileKind::scanned;
  const EvictionScanArguments scan{shape, layout, layer, tiles, s, partial};
  timer_.enter(StepPart::scores, stream_);
  score_tiles<T>({shape, layout, layer, tiles, static_cast<const T*>(queries_.data()), s},
                 batch.n_tiles, batch.max_slots, batch.max_queries, stream_);
  if (shape.n_merged > 0) add_biases(merging, batch.n_tiles, stream_);
  timer_.enter(StepPart::scan, stream_);
  if (scans) {
    scan_evictions(scan, batch.n_tiles, stream_);
  } else {
    plan_evictions(scan, batch.n_tiles, stream_);
  }
  timer_.enter(StepPart::values, stream_);
  weighted_sum_tiles<T>({shape, layout, layer, tiles, s, scans, !scans, out}, batch.n_tiles,
                        batch.max_queries, stream_);
  timer_.enter(StepPart::states, stream_);
  if (shape.n_merged > 0) keep_left(merging, batch.n_tiles, stream_);
  const EvictArguments evicting{shape, layout, layer, tiles, s, !scans, events_.of(layer)};
  evict(evicting, batch.n_tiles, stream_);
  if (is_bounded(model_.cache())) compact<T>(evicting, batch.n_tiles, stream_);
  if (shape.n_merged > 0) merge_left(merging, batch.n_tiles, stream_);
}

template <class T>
void Attention::run_decode(const TileBatch& batch, const AttentionShape& shape, std::int32_t layer,
                           T* out) {
  DecodeArguments<T> a{};
  a.shape = shape;
  a.layout = model_.layout(layer);
  a.layer = layer;
  a.tiles = tiles_of(layer) + batch.first;
  a.queries = static_cast<const T*>(queries_.data());
  a.out = out;
  a.max_evictions = batch.max_evictions;
  scratch_.give_decode_tiles(batch.n_tiles, batch.max_slots, a);
  a.events = events_.of(layer);
  timer_.enter(StepPart::decode, stream_);
  const std::size_t n_eviction_groups =
      static_cast<std::size_t>(batch.n_tiles) * static_cast<std::size_t>(a.shape.n_eviction_groups);
  TOVAMILL_CUDA(cudaMemsetAsync(a.n_done, 0, n_eviction_groups * sizeof(unsigned), stream_.get()));
  decode(a, batch.n_tiles, stream_);
  if (a.shape.n_merged > 0)
    merge_left(merge_arguments<T>(batch, layer, {}), batch.n_tiles, stream_);
  if (a.evictions != nullptr) events_.keep_evictions(batch, layer, a.evictions, stream_);
}

}  // namespace tovamill::cuda
