#include "kernels/reference/device.h"

#include <algorithm>

namespace tovamill::reference {
std::unique_ptr<Matrix> ReferenceDevice::pack(const MatrixSource& source) {
  auto matrix = std::make_unique<ReferenceMatrix>();
  matrix->cols = static_cast<std::int32_t>(source.parts.at(0).n_cols());
  std::vector<float> row(static_cast<std::size_t>(matrix->cols));
  for (std::size_t p = 0; p < source.parts.size(); ++p) {
    const TensorView& part = source.parts[p];
    const bool is_rotated = !source.rotated.empty() && source.rotated[p];
    const bool has_bias = !source.biases.empty() && source.biases[p].data != nullptr;
    std::vector<float> bias(static_cast<std::size_t>(part.n_rows()), 0.0f);
    if (has_bias) dequantize_row(source.biases[p], 0, bias.data());
    for (std::int64_t r = 0; r < part.n_rows(); ++r) {
      const std::int32_t d = source.head_dim;
      const std::int64_t in_file = is_rotated ? r / d * d + source.rotary.dim_in_file(r % d, d) : r;
      const float factor = is_rotated ? source.rotary.factor_of(r % d, d) : 1.0f;
      dequantize_row(part, in_file, row.data());
      for (const float w : row) matrix->weights.push_back(w * factor);
      matrix->bias.push_back(bias[static_cast<std::size_t>(in_file)] * factor);
    }
    matrix->rows += static_cast<std::int32_t>(part.n_rows());
  }
  return matrix;
}

std::unique_ptr<Matrix> ReferenceDevice::pack_gated(const GatedSource& source) {
  return pack({.parts = {source.gate, source.up}, .biases = {source.gate_bias, source.up_bias}});
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
