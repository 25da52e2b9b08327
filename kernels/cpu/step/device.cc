#include "kernels/cpu/step/device.h"

#include <algorithm>
#include <utility>
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

namespace {

// The rows of a gate and an up projection in chunks that hold as many of the one as of the other,
// so that one tile gives both factors of its columns.
class GatedRows {
 public:
  explicit GatedRows(const Device::GatedSource& source)
      : source_(source),
        n_(static_cast<std::int32_t>(source.gate.n_rows())),
        half_(std::min(2 * n_, (Gemm::chunk_columns(2 * n_) + 31) / 32 * 32) / 2) {}

  std::int32_t chunk() const { return 2 * half_; }
  bool has_bias() const {
    return source_.gate_bias.data != nullptr || source_.up_bias.data != nullptr;
  }
  std::vector<float> bias() const {
    const auto n = static_cast<std::size_t>(n_);
    std::vector<float> gate(n), up(n), both(2 * n);
    if (source_.gate_bias.data != nullptr) dequantize_row(source_.gate_bias, 0, gate.data());
    if (source_.up_bias.data != nullptr) dequantize_row(source_.up_bias, 0, up.data());
    for (std::size_t row = 0; row < both.size(); ++row) {
      const auto [is_gate, in_file] = place_of(static_cast<std::int64_t>(row));
      both[row] = (is_gate ? gate : up)[static_cast<std::size_t>(in_file)];
    }
    return both;
  }
  // `context` is a GatedRows.
  static void read(const void* context, std::int64_t row, float* out) {
    const auto& rows = *static_cast<const GatedRows*>(context);
    const auto [is_gate, in_file] = rows.place_of(row);
    dequantize_row(is_gate ? rows.source_.gate : rows.source_.up, in_file, out);
  }

 private:
  std::pair<bool, std::int64_t> place_of(std::int64_t row) const {
    const std::int64_t c = row / (2 * half_), within = row % (2 * half_), first = c * half_;
    const std::int64_t width = std::min<std::int64_t>(half_, n_ - first);
    return {within < width, first + within % width};
  }

  const Device::GatedSource& source_;
  std::int32_t n_, half_;
};

}  // namespace

std::unique_ptr<Matrix> CpuDevice::pack_gated(const GatedSource& source) {
  const GatedRows rows(source);
  auto matrix = pack_rows({.n_out = 2 * static_cast<std::int32_t>(source.gate.n_rows()),
                           .n_in = static_cast<std::int32_t>(source.gate.n_cols()),
                           .chunk = rows.chunk(),
                           .has_bias = rows.has_bias(),
                           .type = expanded_to(type_)},
                          GatedRows::read, &rows);
  if (rows.has_bias() && !matrix->is_filled()) Gemm::set_bias(*matrix, rows.bias());
  return matrix;
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
