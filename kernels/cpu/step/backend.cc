#include "kernels/cpu/step/backend.h"

#include <algorithm>
#include <cmath>
#include <cstring>

#include "kernels/types/error.h"

namespace tovamill {

std::unique_ptr<Backend> make_cpu_backend(const BackendOptions& options) {
  if (options.dtype != ComputeType::f32) cpu::Gemm::check(options.dtype);
  return std::make_unique<cpu::CpuBackend>(options, cpu::best_kernels());
}

}  // namespace tovamill

namespace tovamill::cpu {
namespace {

// Tasks for each thread from which on the last ones to end cost little.
constexpr std::int32_t kManyTasks = 8;

CpuBuffer& cast(Buffer& b) { return static_cast<CpuBuffer&>(b); }
const CpuBuffer& cast(const Buffer& b) { return static_cast<const CpuBuffer&>(b); }

// row += terms, n of each.
void add(const float* terms, std::int32_t n, float* row) {
  for (std::int32_t i = 0; i < n; ++i) row[i] += terms[i];
}

BackendOptions fitted(BackendOptions options) {
  options.cache = fitted_to_windows(options.cache, options.shape);
  return options;
}

bool every_tile(const RowTile&) { return true; }

const float* bias_of(const NormWeights& weights) {
  return weights.bias.empty() ? nullptr : weights.bias.data();
}

}  // namespace

CpuBackend::CpuBackend(const BackendOptions& options, const IsaKernels& isa)
    : options_(fitted(options)),
      type_(options.dtype),
      isa_(isa),
      own_device_(options.beside == nullptr ? std::make_unique<CpuDevice>(options, isa) : nullptr),
      device_(own_device_ ? own_device_.get() : static_cast<CpuDevice*>(options.beside)),
      pool_(device_->pool()),
      gemm_(device_->gemm()),
      attention_(options, type_, pool_, isa),
      gathered_(kRowTile, options.shape.hidden_size, type_),
      tiles_(static_cast<std::size_t>(pool_.size()) * kRowTile * kWidestChunk * 4),
      experts_(options.shape, options.max_rows, type_) {
  const std::int32_t chunk = Gemm::chunk_columns(options.shape.vocab_size);
  const std::int32_t chunks = (options.shape.vocab_size + chunk - 1) / chunk;
  chunk_sums_.resize(static_cast<std::size_t>(options.max_rows) * static_cast<std::size_t>(chunks));
  target_logits_.resize(static_cast<std::size_t>(options.max_rows));
  normed_rows_.resize(static_cast<std::size_t>(pool_.size()));
}

float* CpuBackend::thread_tile(int thread) const {
  return reinterpret_cast<float*>(tiles_.data()) +
         static_cast<std::int64_t>(thread) * kRowTile * kWidestChunk;
}

std::unique_ptr<StreamState> CpuBackend::make_state() {
  return std::make_unique<CpuState>(attention_.model().layout,
                                    attention_.model().capacity(0, false));
}

std::uint64_t CpuBackend::state_bytes() const {
  return state_bytes_for(options_.cache.chunk_tokens > 0 ? options_.cache.chunk_tokens
                                                         : options_.shape.trained_context,
                         false);
}

std::uint64_t CpuBackend::workspace_bytes() const {
  return attention_.workspace_bytes() + gathered_.bytes.size() + tiles_.size() +
         chunk_sums_.size() * sizeof(ChunkSum) + gemm_.scratch_bytes() + experts_.n_bytes();
}

std::uint64_t CpuBackend::workspace_bytes_for(std::int64_t n_tokens, bool keeps_all) const {
  return workspace_bytes() - attention_.workspace_bytes() +
         attention_.workspace_bytes_for(n_tokens, keeps_all);
}

void CpuBackend::begin_step(std::span<const StepBlock> blocks, std::int32_t n_rows) {
  n_rows_ = n_rows;
  attention_.begin_step(blocks, n_rows);
}

// With few rows the weights are what is read: a thread takes all the rows of a chunk, so that each
// chunk comes from memory once. With many, or where chunks are too few for the threads, each tile
// of a chunk is a task of its own.
template <class Wanted, class Body>
void CpuBackend::for_each_tile(const PackedMatrix& w, const CpuBuffer& x, std::int32_t n_rows,
                               Wanted&& wanted, Body&& body) {
  const std::span<const RowTile> tiles = row_cut_.cut(n_rows, w.tile_sizes());
  if (tiles.empty()) return;
  const auto n = static_cast<std::int64_t>(tiles.size());
  const bool is_balanced =
      w.n_chunks() % pool_.size() == 0 || w.n_chunks() >= kManyTasks * pool_.size();
  const bool by_chunk = n_rows <= kRowTile && is_balanced;
  const std::int64_t tiles_per_task = by_chunk ? n : 1, tasks_per_chunk = n / tiles_per_task;
  pool_.run(tasks_per_chunk * w.n_chunks(), [&](std::int64_t task, int thread) {
    const auto chunk = static_cast<std::int32_t>(task / tasks_per_chunk);
    const std::int64_t begin = task % tasks_per_chunk * tiles_per_task;
    for (std::int64_t i = begin; i < begin + tiles_per_task; ++i) {
      const RowTile& tile = tiles[static_cast<std::size_t>(i)];
      if (!wanted(tile)) continue;
      float* gemm = thread_tile(thread);
      gemm_.multiply(w, chunk, tile.size, x.row(tile.first), gemm, thread);
      body(tile, chunk, gemm);
    }
  });
}

void CpuBackend::embed(std::span<const std::int32_t> ids, const TensorView& embedding, float factor,
                       Buffer& out) {
  for_each_row([&](std::int32_t r, int) {
    float* row = cast(out).f32(r);
    dequantize_row(embedding, ids[static_cast<std::size_t>(r)], row);
    if (factor != 1.0f) isa_.scale(row, factor, cast(out).cols, row);
  });
}

void CpuBackend::scale(Buffer& x, float factor) {
  for_each_row([&](std::int32_t r, int) {
    isa_.scale(cast(x).f32(r), factor, cast(x).cols, cast(x).f32(r));
  });
}

void CpuBackend::copy_columns(const Buffer& from, std::int32_t from_first, Buffer& to,
                              std::int32_t to_first, std::int32_t n) {
  for_each_row([&](std::int32_t r, int) {
    std::copy_n(cast(from).f32(r) + from_first, n, cast(to).f32(r) + to_first);
  });
}

void CpuBackend::multiply_columns(Buffer& x, const Buffer& by, std::int32_t first) {
  const std::int32_t n = cast(x).cols;
  for_each_row([&](std::int32_t r, int thread) {
    std::vector<float>& row = normed_rows_[static_cast<std::size_t>(thread)];
    row.resize(static_cast<std::size_t>(n));
    const float* factors = cast(by).f32(r) + first;
    switch (type_) {
      case ComputeType::f32:
        for (std::int32_t i = 0; i < n; ++i) cast(x).f32(r)[i] *= factors[i];
        return;
      case ComputeType::bf16:
        isa_.from_bf16(cast(x).bf16(r), n, row.data());
        for (std::int32_t i = 0; i < n; ++i) row[static_cast<std::size_t>(i)] *= factors[i];
        return isa_.to_bf16(row.data(), n, cast(x).bf16(r));
    }
  });
}

void CpuBackend::normalize(const float* x, const NormWeights& weights, float* out) const {
  const auto n = static_cast<std::int32_t>(weights.weight.size());
  const float eps = options_.shape.norm_eps * weights.eps_factor;
  if (options_.shape.norm == NormKind::layer)
    return isa_.layer_norm(x, weights.weight.data(), bias_of(weights), n, eps, out);
  isa_.rms_norm(x, weights.weight.data(), n, eps, out);
}

void CpuBackend::normalize(const float* x, const NormWeights& weights, std::uint16_t* out) const {
  const auto n = static_cast<std::int32_t>(weights.weight.size());
  const float eps = options_.shape.norm_eps * weights.eps_factor;
  if (options_.shape.norm == NormKind::layer)
    return isa_.layer_norm_bf16(x, weights.weight.data(), bias_of(weights), n, eps, out);
  isa_.rms_norm_bf16(x, weights.weight.data(), n, eps, out);
}

void CpuBackend::norm(const Buffer& x, const NormWeights& weights, Buffer& out) {
  for_each_row([&](std::int32_t r, int) {
    switch (type_) {
      case ComputeType::f32:
        return normalize(cast(x).f32(r), weights, cast(out).f32(r));
      case ComputeType::bf16:
        return normalize(cast(x).f32(r), weights, cast(out).bf16(r));
    }
  });
}

void CpuBackend::norm_add(const Buffer& x, const NormWeights& weights, Buffer& hidden) {
  for_each_row([&](std::int32_t r, int thread) {
    std::vector<float>& row = normed_rows_[static_cast<std::size_t>(thread)];
    row.resize(weights.weight.size());
    const auto n = static_cast<std::int32_t>(row.size());
    for (std::int32_t first = 0; first < cast(x).cols; first += n) {
      normalize(cast(x).f32(r) + first, weights, row.data());
      add(row.data(), n, cast(hidden).f32(r) + first);
    }
  });
}

void CpuBackend::convert(const Buffer& x, Buffer& out) {
  const std::int32_t n = options_.shape.hidden_size;
  for_each_row([&](std::int32_t r, int) {
    switch (type_) {
      case ComputeType::f32:
        std::copy_n(cast(x).f32(r), n, cast(out).f32(r));
        return;
      case ComputeType::bf16:
        return isa_.to_bf16(cast(x).f32(r), n, cast(out).bf16(r));
    }
  });
}

// flops: 2 n_rows n_in n_out; bytes: the weights once per tile of rows at worst, in the compute
// type. write(product, bias, n, out) does a row's part of a chunk; bias may be null.
template <class Write>
void CpuBackend::multiply_into(const Buffer& x, const Matrix& matrix, Buffer& out, Write&& write) {
  const auto& w = static_cast<const PackedMatrix&>(matrix);
  for_each_tile(w, cast(x), n_rows_, every_tile,
                [&](const RowTile& tile, std::int32_t chunk, const float* gemm) {
                  const std::int32_t cols = w.chunk_cols(chunk), first = w.chunk_begin(chunk);
                  const float* bias = w.bias() == nullptr ? nullptr : w.bias() + first;
                  for (std::int32_t r = 0; r < std::min(tile.rows(), n_rows_ - tile.first); ++r) {
                    write(gemm + static_cast<std::int64_t>(r) * cols, bias, cols,
                          cast(out).f32(tile.first + r) + first);
                  }
                });
}

void CpuBackend::project(const Buffer& x, const Matrix& w, Buffer& out) {
  multiply_into(x, w, out, [](const float* gemm, const float* bias, std::int32_t n, float* to) {
    std::copy(gemm, gemm + n, to);
    if (bias != nullptr) add(bias, n, to);
  });
}
void CpuBackend::project_add(const Buffer& x, const Matrix& w, Buffer& hidden) {
  multiply_into(x, w, hidden, [](const float* gemm, const float* bias, std::int32_t n, float* to) {
    add(gemm, n, to);
    if (bias != nullptr) add(bias, n, to);
  });
}

// `up` may be null.
void CpuBackend::activate(Activation activation, const Xielu& xielu, const float* gate,
                          const float* up, std::int32_t n, CpuBuffer& out, std::int32_t row,
                          std::int32_t column) const {
  const auto index = static_cast<std::size_t>(activation);
  switch (type_) {
    case ComputeType::f32:
      return isa_.gate[index](xielu, gate, up, n, out.f32(row) + column);
    case ComputeType::bf16:
      return isa_.gate_bf16[index](xielu, gate, up, n, out.bf16(row) + column);
  }
}

void CpuBackend::project_gated(const Buffer& x, const Matrix& gate_up, Activation activation,
                               Buffer& out) {
  const auto& w = static_cast<const PackedMatrix&>(gate_up);
  for_each_tile(w, cast(x), n_rows_, every_tile,
                [&](const RowTile& tile, std::int32_t chunk, float* both) {
                  const std::int32_t cols = w.chunk_cols(chunk), n = cols / 2;
                  const std::int32_t first = w.chunk_begin(chunk);
                  for (std::int32_t r = 0; r < std::min(tile.rows(), n_rows_ - tile.first); ++r) {
                    float* g = both + static_cast<std::int64_t>(r) * cols;
                    if (w.bias() != nullptr) add(w.bias() + first, cols, g);
                    activate(activation, {}, g, g + n, n, cast(out), tile.first + r, first / 2);
                  }
                });
}

void CpuBackend::project_activated(const Buffer& x, const Matrix& up, Activation activation,
                                   const Xielu& xielu, Buffer& out) {
  const auto& w = static_cast<const PackedMatrix&>(up);
  for_each_tile(w, cast(x), n_rows_, every_tile,
                [&](const RowTile& tile, std::int32_t chunk, float* gemm) {
                  const std::int32_t cols = w.chunk_cols(chunk), first = w.chunk_begin(chunk);
                  for (std::int32_t r = 0; r < std::min(tile.rows(), n_rows_ - tile.first); ++r) {
                    float* g = gemm + static_cast<std::int64_t>(r) * cols;
                    if (w.bias() != nullptr) add(w.bias() + first, cols, g);
                    activate(activation, xielu, g, nullptr, cols, cast(out), tile.first + r, first);
                  }
                });
}

void CpuBackend::attend(std::int32_t layer, const AttentionWeights& weights, Buffer& qkv,
                        Buffer& out, std::span<BlockEvents> events) {
  attention_.run(layer, weights, cast(qkv).f32(0), cast(out).row(0), events);
}

void CpuBackend::cap_logits(float* logits, std::int32_t n) const {
  if (options_.shape.logit_cap > 0.0f) isa_.cap(logits, n, options_.shape.logit_cap);
}

void CpuBackend::target_nll(const Buffer& x, const Matrix& head,
                            std::span<const std::int32_t> targets, std::span<float> nll) {
  const auto& w = static_cast<const PackedMatrix&>(head);
  const auto chunks = static_cast<std::size_t>(w.n_chunks());
  const auto scored = [&](const RowTile& tile) {
    const auto begin = targets.begin() + tile.first;
    return std::any_of(begin, begin + std::min(tile.rows(), n_rows_ - tile.first),
                       [](std::int32_t t) { return t >= 0; });
  };
  for_each_tile(w, cast(x), n_rows_, scored,
                [&](const RowTile& tile, std::int32_t chunk, float* logits) {
                  const std::int32_t cols = w.chunk_cols(chunk), first = w.chunk_begin(chunk);
                  for (std::int32_t r = 0; r < std::min(tile.rows(), n_rows_ - tile.first); ++r) {
                    const auto row = static_cast<std::size_t>(tile.first + r);
                    if (targets[row] < 0) continue;
                    float* line = logits + static_cast<std::int64_t>(r) * cols;
                    cap_logits(line, cols);
                    ChunkSum& s = chunk_sums_[row * chunks + static_cast<std::size_t>(chunk)];
                    s.sum = isa_.sum_exp(line, cols, &s.highest);
                    if (targets[row] >= first && targets[row] < first + cols)
                      target_logits_[row] = line[targets[row] - first];
                  }
                });
  for (std::size_t row = 0; row < targets.size(); ++row) {
    nll[row] = 0.0f;
    if (targets[row] < 0) continue;
    const ChunkSum* s = chunk_sums_.data() + row * chunks;
    float highest = s[0].highest;
    for (std::size_t c = 1; c < chunks; ++c) highest = std::max(highest, s[c].highest);
    double sum = 0.0;
    for (std::size_t c = 0; c < chunks; ++c)
      sum += static_cast<double>(s[c].sum) * std::exp(static_cast<double>(s[c].highest - highest));
    nll[row] = static_cast<float>(static_cast<double>(highest) + std::log(sum) -
                                  static_cast<double>(target_logits_[row]));
  }
}

// The rows side by side, so that a few of a long step cost a small tile.
void CpuBackend::read_logits(const Buffer& x, const Matrix& head,
                             std::span<const std::int32_t> rows, std::span<float> logits) {
  const auto& w = static_cast<const PackedMatrix&>(head);
  for (std::size_t begin = 0; begin < rows.size(); begin += kRowTile) {
    const auto some = rows.subspan(begin, std::min<std::size_t>(kRowTile, rows.size() - begin));
    const auto n = static_cast<std::int32_t>(some.size());
    for (std::int32_t i = 0; i < n; ++i) {
      std::memcpy(gathered_.row(i), cast(x).row(some[static_cast<std::size_t>(i)]),
                  gathered_.row_bytes);
    }
    float* out = logits.data() + begin * static_cast<std::size_t>(w.n_out());
    for_each_tile(w, gathered_, n, every_tile,
                  [&](const RowTile& tile, std::int32_t chunk, const float* gemm) {
                    const std::int32_t cols = w.chunk_cols(chunk), first = w.chunk_begin(chunk);
                    for (std::int32_t r = 0; r < std::min(tile.rows(), n - tile.first); ++r) {
                      const float* line = gemm + static_cast<std::int64_t>(r) * cols;
                      float* to = out + std::int64_t{tile.first + r} * w.n_out() + first;
                      std::copy(line, line + cols, to);
                      if (w.bias() != nullptr) add(w.bias() + first, cols, to);
                      cap_logits(to, cols);
                    }
                  });
  }
}

std::uint64_t CpuBackend::state_bytes_for(std::int64_t n_tokens, bool keeps_all) const {
  return attention_.model().layout.state_bytes(attention_.model().capacity(n_tokens, keeps_all));
}

void CpuBackend::reset(StreamState& state) {
  auto& s = static_cast<CpuState&>(state);
  s.reset();
  if (is_bounded(options_.cache)) s.resize(attention_.model().capacity(0, false));
}

void CpuBackend::reserve(StreamState& state, std::int64_t n_tokens, bool keeps_all) {
  auto& s = static_cast<CpuState&>(state);
  s.resize(std::max(s.capacity(), attention_.model().capacity(n_tokens, keeps_all)));
}

void CpuBackend::copy(const StreamState& from, StreamState& to) {
  static_cast<CpuState&>(to).assign(static_cast<const CpuState&>(from));
}

std::int64_t CpuBackend::n_tokens(const StreamState& state) const {
  return static_cast<const CpuState&>(state).n_tokens();
}

std::vector<std::int32_t> CpuBackend::read_positions(const StreamState& state, std::int32_t layer,
                                                     std::int32_t group) const {
  const auto& s = static_cast<const CpuState&>(state);
  const std::int32_t* first = s.positions(layer, group);
  std::vector<std::int32_t> positions(first + s.n_merged(layer), first + s.n_slots(layer));
  std::sort(positions.begin(), positions.end());
  return positions;
}

std::vector<std::vector<std::int32_t>> CpuBackend::read_all_positions(
    const StreamState& state) const {
  return read_each_position(*this, state, options_.shape.n_layers,
                            n_eviction_groups(options_.cache, options_.shape));
}

}  // namespace tovamill::cpu
