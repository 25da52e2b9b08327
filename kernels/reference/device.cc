#include "kernels/reference/device.h"

#include <algorithm>

namespace tovamill::reference {
namespace {

// Row of the half-split layout -> row of llama.cpp's interleaved one, head by head.
std::int64_t interleaved_row(std::int64_t row, std::int32_t head_dim) {
  const std::int64_t head = row / head_dim, i = row % head_dim, half = head_dim / 2;
  return head * head_dim + 2 * (i % half) + i / half;
}

}  // namespace

std::unique_ptr<Matrix> ReferenceDevice::pack(const MatrixSource& source) {
  auto matrix = std::make_unique<ReferenceMatrix>();
  matrix->cols = static_cast<std::int32_t>(source.parts.at(0).n_cols());
  std::vector<float> row(static_cast<std::size_t>(matrix->cols));
  for (std::size_t p = 0; p < source.parts.size(); ++p) {
    const TensorView& part = source.parts[p];
    const bool interleaved = !source.interleaved.empty() && source.interleaved[p];
    for (std::int64_t r = 0; r < part.n_rows(); ++r) {
      dequantize_row(part, interleaved ? interleaved_row(r, source.head_dim) : r, row.data());
      matrix->weights.insert(matrix->weights.end(), row.begin(), row.end());
    }
    matrix->rows += static_cast<std::int32_t>(part.n_rows());
    const bool has_bias = !source.biases.empty() && source.biases[p].data != nullptr;
    std::vector<float> bias(static_cast<std::size_t>(part.n_rows()), 0.0f);
    if (has_bias) dequantize_row(source.biases[p], 0, bias.data());
    matrix->bias.insert(matrix->bias.end(), bias.begin(), bias.end());
    if (has_bias && interleaved) {
      for (std::int64_t r = 0; r < part.n_rows(); ++r) {
        matrix->bias[matrix->bias.size() - bias.size() + static_cast<std::size_t>(r)] =
            bias[static_cast<std::size_t>(interleaved_row(r, source.head_dim))];
      }
    }
  }
  return matrix;
}

std::unique_ptr<Matrix> ReferenceDevice::pack_gated(const TensorView& gate, const TensorView& up) {
  return pack({.parts = {gate, up}, .biases = {}, .interleaved = {}});
}

std::unique_ptr<Buffer> ReferenceDevice::make_buffer(std::int32_t n_rows, std::int32_t n_cols,
                                                     BufferType) {
  auto buffer = std::make_unique<ReferenceBuffer>();
  buffer->cols = n_cols;
  buffer->values.resize(static_cast<std::size_t>(n_rows) * static_cast<std::size_t>(n_cols));
  return buffer;
}

void ReferenceDevice::write_rows(Buffer& buffer, std::int32_t first_row,
                                 std::span<const float> rows) {
  std::copy(rows.begin(), rows.end(), static_cast<ReferenceBuffer&>(buffer).row(first_row));
}

void ReferenceDevice::read_rows(const Buffer& buffer, std::int32_t first_row,
                                std::span<float> rows) const {
  const double* from = static_cast<const ReferenceBuffer&>(buffer).row(first_row);
  for (std::size_t i = 0; i < rows.size(); ++i) rows[i] = static_cast<float>(from[i]);
}

}  // namespace tovamill::reference
