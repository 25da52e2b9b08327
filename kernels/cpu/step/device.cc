#include "kernels/cpu/step/device.h"

#include <algorithm>
#include <vector>

#include "kernels/stacked_rows.h"

namespace tovamill::cpu {
namespace {

// Whole tiles.
std::int32_t n_tiles(std::int32_t n_rows) { return (n_rows + kRowTile - 1) / kRowTile; }

}  // namespace

CpuBuffer::CpuBuffer(std::int32_t n_rows, std::int32_t n_cols, ComputeType element_type)
    : type(element_type),
      cols(n_cols),
      row_bytes(static_cast<std::size_t>(n_cols) * element_bytes(element_type)),
      bytes(static_cast<std::size_t>(n_tiles(n_rows)) * kRowTile * row_bytes) {}

CpuDevice::CpuDevice(const BackendOptions& options, const IsaKernels& isa)
    : type_(options.dtype),
      isa_(isa),
      pool_(std::clamp(options.n_threads, 1, 1024), use_one_thread),
      gemm_(pool_.size(), options.weights) {}

std::string CpuDevice::description() const {
  return std::string("CPU, ") + isa_.name + ", " + std::to_string(pool_.size()) +
         (pool_.size() == 1 ? " thread" : " threads");
}

std::unique_ptr<PackedMatrix> CpuDevice::pack_rows(const PackedShape& shape, RowSource source,
                                                   const void* context) {
  std::unique_ptr<PackedMatrix> matrix = gemm_.make(shape);
  if (matrix->is_filled()) return matrix;
  pool_.run(matrix->n_chunks(), [&](std::int64_t c, int) {
    const auto index = static_cast<std::int32_t>(c);
    const std::int32_t n = matrix->chunk_cols(index);
    std::vector<float> rows(static_cast<std::size_t>(n) * static_cast<std::size_t>(shape.n_in));
    for (std::int32_t r = 0; r < n; ++r) {
      source(context, matrix->chunk_begin(index) + r,
             rows.data() + static_cast<std::int64_t>(r) * shape.n_in);
    }
    gemm_.fill(*matrix, index, rows.data());
  });
  return matrix;
}

std::unique_ptr<Matrix> CpuDevice::pack(const MatrixSource& source) {
  const StackedRows rows(source);
  auto matrix = pack_rows({.n_out = rows.n_rows(),
                           .n_in = rows.n_cols(),
                           .chunk = Gemm::chunk_columns(rows.n_rows()),
                           .has_bias = rows.has_bias(),
                           .type = expanded_to(type_)},
                          StackedRows::read, &rows);
  if (rows.has_bias() && !matrix->is_filled()) Gemm::set_bias(*matrix, rows.bias());
  return matrix;
}

// Chunks hold as many gate rows as up rows, so that one tile gives both factors of its columns.
std::unique_ptr<Matrix> CpuDevice::pack_gated(const TensorView& gate, const TensorView& up) {
  struct Pair {
    const TensorView &gate, &up;
    std::int32_t n, half;
  };
  const auto n = static_cast<std::int32_t>(gate.n_rows());
  const std::int32_t chunk = std::min(2 * n, (Gemm::chunk_columns(2 * n) + 31) / 32 * 32);
  const Pair pair{gate, up, n, chunk / 2};
  const auto read_row = [](const void* context, std::int64_t row, float* out) {
    const auto& p = *static_cast<const Pair*>(context);
    const std::int64_t c = row / (2 * p.half), within = row % (2 * p.half), first = c * p.half;
    const std::int64_t width = std::min<std::int64_t>(p.half, p.n - first);
    dequantize_row(within < width ? p.gate : p.up, first + within % width, out);
  };
  return pack_rows({.n_out = 2 * n,
                    .n_in = static_cast<std::int32_t>(gate.n_cols()),
                    .chunk = chunk,
                    .type = expanded_to(type_)},
                   read_row, &pair);
}

std::unique_ptr<Buffer> CpuDevice::make_buffer(std::int32_t n_rows, std::int32_t n_cols,
                                               BufferType type) {
  return std::make_unique<CpuBuffer>(n_rows, n_cols,
                                     type == BufferType::full ? ComputeType::f32 : type_);
}

void CpuDevice::write_rows(Buffer& buffer, std::int32_t first_row, std::span<const float> rows) {
  const auto& b = static_cast<const CpuBuffer&>(buffer);
  switch (b.type) {
    case ComputeType::f32:
      std::copy(rows.begin(), rows.end(), b.f32(first_row));
      return;
    case ComputeType::bf16:
      isa_.to_bf16(rows.data(), static_cast<std::int64_t>(rows.size()), b.bf16(first_row));
      return;
  }
}

void CpuDevice::read_rows(const Buffer& buffer, std::int32_t first_row,
                          std::span<float> rows) const {
  const auto& b = static_cast<const CpuBuffer&>(buffer);
  const auto n = static_cast<std::int64_t>(rows.size());
  switch (b.type) {
    case ComputeType::f32:
      std::copy_n(b.f32(first_row), n, rows.begin());
      return;
    case ComputeType::bf16:
      isa_.from_bf16(b.bf16(first_row), n, rows.data());
      return;
  }
}

}  // namespace tovamill::cpu
