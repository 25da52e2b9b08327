// A feed-forward of experts: the rows of each expert side by side, multiplied as dense rows are.
// flops: 6 n_used hidden intermediate a row; the weights of an expert are read once for each tile
// of its rows, the rows are copied once and their sums added to the hidden rows chunk by chunk, in
// the order of experts.
#include "kernels/cpu/step/experts.h"

#include <algorithm>
#include <cmath>
#include <cstring>

#include "kernels/cpu/step/backend.h"

namespace tovamill::cpu {
namespace {

const CpuBuffer& buffer_of(const Buffer& b) { return static_cast<const CpuBuffer&>(b); }
const PackedMatrix& packed(const std::unique_ptr<Matrix>& m) {
  return static_cast<const PackedMatrix&>(*m);
}

// A tile may reach beyond the last place.
std::int32_t n_rows(std::int32_t n_places) { return n_places == 0 ? 0 : n_places + kRowTile; }

}  // namespace

std::uint64_t CpuExperts::n_bytes() const {
  std::uint64_t sum = 0;
  for (const auto* matrices : {&gate_up, &down})
    for (const auto& matrix : *matrices) sum += matrix->n_bytes();
  return sum;
}

std::unique_ptr<Experts> CpuDevice::pack_experts(std::span<const ExpertTensors> experts) {
  auto all = std::make_unique<CpuExperts>();
  for (const ExpertTensors& e : experts) {
    all->gate_up.push_back(pack_gated({e.gate, e.up, e.gate_bias, e.up_bias}));
    all->down.push_back(pack({.parts = {e.down}, .biases = {e.down_bias}}));
  }
  return all;
}

ExpertScratch::ExpertScratch(const ModelShape& shape, std::int32_t max_rows, ComputeType type)
    : ExpertScratch(shape.widest_experts(), shape.hidden_size, max_rows, type) {}

ExpertScratch::ExpertScratch(const ExpertsShape& widest, std::int32_t hidden_size,
                             std::int32_t max_rows, ComputeType type)
    : rows(max_rows, widest.n_used),
      logits(max_rows, widest.n_experts, ComputeType::f32),
      gathered(n_rows(max_rows * widest.n_used), hidden_size, type),
      gated(n_rows(max_rows * widest.n_used), widest.intermediate_size, type),
      products(max_rows * widest.n_used, std::min(kWidestChunk, hidden_size), ComputeType::f32),
      weights(static_cast<std::size_t>(max_rows * widest.n_used)) {}

std::uint64_t ExpertScratch::n_bytes() const {
  return rows.n_bytes() + logits.bytes.size() + gathered.bytes.size() + gated.bytes.size() +
         products.bytes.size() + weights.size() * sizeof(float);
}

// Which rows each expert takes, and these rows side by side.
void CpuBackend::sort_by_expert(const Buffer& x, const Matrix& router, const ExpertsShape& shape) {
  ExpertScratch& s = experts_;
  project(x, router, s.logits);
  s.rows.begin(shape);
  for_each_row([&](std::int32_t r, int) {
    const std::span<ExpertChoice> chosen = s.rows.of_row(r);
    choose_experts(s.logits.f32(r), shape, chosen);
  });
  s.rows.sort(n_rows_, shape.n_experts);
  for_each_row([&](std::int32_t r, int) {
    for (const ExpertChoice& c : s.rows.of_row(r)) {
      s.weights[static_cast<std::size_t>(c.place)] = c.weight;
      std::memcpy(s.gathered.row(c.place), buffer_of(x).row(r), s.gathered.row_bytes);
    }
  });
}

void CpuBackend::gate_experts(const CpuExperts& experts, Activation activation) {
  ExpertScratch& s = experts_;
  const PackedMatrix& first = packed(experts.gate_up.front());
  const std::span<const ExpertTile> tiles = s.rows.tiles(first.tile_sizes());
  const std::int64_t n_chunks = first.n_chunks();
  pool_.run(static_cast<std::int64_t>(tiles.size()) * n_chunks, [&](std::int64_t task, int thread) {
    const ExpertTile& tile = tiles[static_cast<std::size_t>(task / n_chunks)];
    const auto chunk = static_cast<std::int32_t>(task % n_chunks);
    const PackedMatrix& w = packed(experts.gate_up[static_cast<std::size_t>(tile.expert)]);
    const std::int32_t cols = w.chunk_cols(chunk), n = cols / 2, begin = w.chunk_begin(chunk);
    float* both = thread_tile(thread);
    gemm_.multiply(w, chunk, tile.size, s.gathered.row(tile.first), both, thread);
    for (std::int32_t r = 0; r < tile.n_rows; ++r) {
      float* g = both + static_cast<std::int64_t>(r) * cols;
      for (std::int32_t i = 0; w.bias() != nullptr && i < cols; ++i) g[i] += w.bias()[begin + i];
      activate(activation, {}, g, g + n, n, s.gated, tile.first + r, begin / 2);
    }
  });
}

// Chunk by chunk, so that what waits to be added is a chunk wide.
void CpuBackend::add_from_experts(const CpuExperts& experts, CpuBuffer& hidden) {
  ExpertScratch& s = experts_;
  const PackedMatrix& first = packed(experts.down.front());
  const std::span<const ExpertTile> tiles = s.rows.tiles(first.tile_sizes());
  for (std::int32_t chunk = 0; chunk < first.n_chunks(); ++chunk) {
    const std::int32_t cols = first.chunk_cols(chunk), begin = first.chunk_begin(chunk);
    pool_.run(static_cast<std::int64_t>(tiles.size()), [&](std::int64_t task, int thread) {
      const ExpertTile& tile = tiles[static_cast<std::size_t>(task)];
      const PackedMatrix& w = packed(experts.down[static_cast<std::size_t>(tile.expert)]);
      float* product = thread_tile(thread);
      gemm_.multiply(w, chunk, tile.size, s.gated.row(tile.first), product, thread);
      const float* bias = w.bias() == nullptr ? nullptr : w.bias() + begin;
      for (std::int32_t r = 0; r < tile.n_rows; ++r) {
        const float* from = product + static_cast<std::int64_t>(r) * cols;
        float* to = s.products.f32(tile.first + r);
        const float weight = s.weights[static_cast<std::size_t>(tile.first + r)];
        for (std::int32_t i = 0; i < cols; ++i)
          to[i] = weight * (bias == nullptr ? from[i] : from[i] + bias[i]);
      }
    });
    for_each_row([&](std::int32_t r, int) {
      float* to = hidden.f32(r) + begin;
      for (const ExpertChoice& c : s.rows.of_row(r)) {
        const float* from = s.products.f32(c.place);
        for (std::int32_t i = 0; i < cols; ++i) to[i] += from[i];
      }
    });
  }
}

void CpuBackend::add_experts(const Buffer& x, const Matrix& router, const Experts& experts,
                             const LayerShape& layer, Buffer& hidden) {
  if (n_rows_ == 0) return;
  const auto& all = static_cast<const CpuExperts&>(experts);
  sort_by_expert(x, router, layer.experts);
  gate_experts(all, layer.activation);
  add_from_experts(all, static_cast<CpuBuffer&>(hidden));
}

void CpuBackend::add_weighted(const Buffer& y, const Buffer& x, std::span<const float> gate,
                              Buffer& hidden) {
  const auto n = static_cast<std::int32_t>(gate.size());
  for_each_row([&](std::int32_t r, int thread) {
    std::vector<float>& row = normed_rows_[static_cast<std::size_t>(thread)];
    row.resize(gate.size());
    if (type_ == ComputeType::bf16) {
      isa_.from_bf16(buffer_of(x).bf16(r), n, row.data());
    } else {
      std::copy_n(buffer_of(x).f32(r), n, row.data());
    }
    double sum = 0.0;
    for (std::size_t i = 0; i < gate.size(); ++i)
      sum += static_cast<double>(row[i]) * static_cast<double>(gate[i]);
    const auto weight = static_cast<float>(1.0 / (1.0 + std::exp(-sum)));
    const float* from = buffer_of(y).f32(r);
    float* to = static_cast<CpuBuffer&>(hidden).f32(r);
    for (std::int32_t i = 0; i < n; ++i) to[i] += weight * from[i];
  });
}

}  // namespace tovamill::cpu
