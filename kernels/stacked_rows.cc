#include "kernels/stacked_rows.h"

#include <algorithm>
#include <cstring>
#include <string>

#include "kernels/types/error.h"

namespace tovamill {

StackedRows::StackedRows(const Device::MatrixSource& source) : source_(source) {
  std::int64_t n = 0;
  for (const TensorView& part : source.parts) n += part.n_rows();
  n_rows_ = static_cast<std::int32_t>(n);
  n_cols_ = static_cast<std::int32_t>(source.parts.at(0).n_cols());
  has_bias_ = std::any_of(source.biases.begin(), source.biases.end(),
                          [](const TensorView& b) { return b.data != nullptr; });
}

std::int64_t StackedRows::row_in_file(std::size_t part, std::int64_t row) const {
  if (!is_rotated(part)) return row;
  const std::int64_t d = source_.head_dim;
  return row / d * d + source_.rotary.dim_in_file(row % d, source_.head_dim);
}

float StackedRows::factor_of(std::size_t part, std::int64_t row) const {
  if (!is_rotated(part)) return 1.0f;
  return source_.rotary.factor_of(row % source_.head_dim, source_.head_dim);
}

StackedRows::Place StackedRows::place_of(std::int64_t row) const {
  std::size_t part = 0;
  for (; row >= source_.parts[part].n_rows(); ++part) row -= source_.parts[part].n_rows();
  return {source_.parts[part], row_in_file(part, row), factor_of(part, row)};
}

void StackedRows::read(std::int64_t row, float* out) const {
  const Place place = place_of(row);
  dequantize_row(place.part, place.row, out);
  if (place.factor == 1.0f) return;
  for (std::int32_t i = 0; i < n_cols_; ++i) out[i] *= place.factor;
}

void StackedRows::read_as(StorageType type, std::int64_t row, std::byte* out) const {
  if (type == StorageType::f32) return read(row, reinterpret_cast<float*>(out));
  if (type == StorageType::bf16) return read_bf16(row, out);
  throw Error(ExitCode::internal,
              "rows of weights are not brought to " + std::string(block_format(type).name));
}

void StackedRows::read_bf16(std::int64_t row, std::byte* out) const {
  const Place place = place_of(row);
  const auto n = static_cast<std::size_t>(n_cols_);
  if (place.part.storage == StorageType::bf16 && place.part.reader == nullptr &&
      place.factor == 1.0f) {
    std::memcpy(out, place.part.data + static_cast<std::size_t>(place.row) * 2 * n, 2 * n);
    return;
  }
  thread_local std::vector<float> values;
  values.resize(n);
  read(row, values.data());
  for (std::size_t i = 0; i < n; ++i) {
    const std::uint16_t bits = bf16_from_float(values[i]);
    std::memcpy(out + 2 * i, &bits, 2);
  }
}

std::vector<float> StackedRows::bias() const {
  std::vector<float> bias;
  for (std::size_t p = 0; p < source_.parts.size(); ++p) {
    const auto n = static_cast<std::size_t>(source_.parts[p].n_rows());
    std::vector<float> part(n, 0.0f);
    if (p < source_.biases.size() && source_.biases[p].data != nullptr) {
      std::vector<float> file(n);
      dequantize_row(source_.biases[p], 0, file.data());
      for (std::size_t r = 0; r < n; ++r) {
        const auto row = static_cast<std::int64_t>(r);
        part[r] = file[static_cast<std::size_t>(row_in_file(p, row))] * factor_of(p, row);
      }
    }
    bias.insert(bias.end(), part.begin(), part.end());
  }
  return bias;
}

}  // namespace tovamill
