#include "engine/quantization/quantized_rows.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <cstring>
#include <limits>
#include <memory>
#include <utility>
#include <vector>

#include "kernels/types/error.h"

namespace tovamill {
namespace {

constexpr int kBitsOfWord = 32;
// AWQ: where in a word the number of a row of eight is.
constexpr std::array<int, 8> kPlaceOfRow{0, 4, 1, 5, 2, 6, 3, 7};

// OCP FP8: four bits of exponent, three of mantissa, no infinity.
float float_from_e4m3(std::uint8_t bits) {
  const int exponent = bits >> 3 & 15, mantissa = bits & 7;
  float value = exponent == 0 ? std::ldexp(static_cast<float>(mantissa), -9)
                              : std::ldexp(static_cast<float>(8 + mantissa), exponent - 10);
  if ((bits & 127) == 127) value = std::numeric_limits<float>::quiet_NaN();
  return bits >= 128 ? -value : value;
}

const std::array<float, 256>& e4m3_values() {
  static const std::array<float, 256> values = [] {
    std::array<float, 256> made{};
    for (int i = 0; i < 256; ++i)
      made[static_cast<std::size_t>(i)] = float_from_e4m3(static_cast<std::uint8_t>(i));
    return made;
  }();
  return values;
}

template <typename T>
T loaded(const TensorView& tensor, std::int64_t i) {
  T value;
  std::memcpy(&value, tensor.data + i * static_cast<std::int64_t>(sizeof(T)), sizeof(T));
  return value;
}

// To the nearest number of ten bits of mantissa, ties to even, as hardware does.
float rounded_to_f16(float value) {
  constexpr float kSmallestNormal = 0x1p-14f, kOverflow = 65520;
  if (std::abs(value) < kSmallestNormal) return std::nearbyint(value * 0x1p24f) * 0x1p-24f;
  if (std::abs(value) >= kOverflow)
    return std::copysign(std::numeric_limits<float>::infinity(), value);
  std::uint32_t bits;
  std::memcpy(&bits, &value, 4);
  if (std::isnan(value)) return value;
  bits = (bits + 0xfff + (bits >> 13 & 1)) & ~0x1fffu;
  std::memcpy(&value, &bits, 4);
  return value;
}

float rounded_to(StorageType type, float value) {
  if (type == StorageType::f16) return rounded_to_f16(value);
  return type == StorageType::bf16 ? float_from_bf16(bf16_from_float(value)) : value;
}

// Numbers of one group.
void scale(StorageType type, float zero, float factor, float* begin, float* end) {
  if (type == StorageType::f16) {
    for (float* p = begin; p < end; ++p) *p = rounded_to_f16((*p - zero) * factor);
  } else {
    for (float* p = begin; p < end; ++p) *p = rounded_to(type, (*p - zero) * factor);
  }
}

class QuantizedRows final : public RowReader {
 public:
  explicit QuantizedRows(QuantizedMatrix matrix) : m_(std::move(matrix)) {}

  void read(std::int64_t row, float* out) const override {
    thread_local std::vector<float> scales, zeros;
    const auto n_groups = static_cast<std::size_t>(m_.n_groups);
    scales.resize(n_groups);
    zeros.resize(n_groups);
    for (std::size_t g = 0; g < n_groups; ++g) {
      const auto group = static_cast<std::int64_t>(g);
      scales[g] = number_at(m_.scales, place_of_scale(row, group));
      zeros[g] = m_.zeros.data == nullptr ? 0.0f : zero(row, group);
    }
    read_codes(row, out);
    const StorageType type = m_.rounds_to_scales ? m_.scales.storage : StorageType::f32;
    if (m_.group_of_column.data != nullptr) {
      for (std::int64_t c = 0; c < m_.n_columns; ++c) {
        const std::size_t g = word_at(m_.group_of_column, c);
        out[c] = rounded_to(type, (out[c] - zeros[g]) * scales[g]);
      }
      return;
    }
    for (std::size_t g = 0; g < n_groups; ++g) {
      const std::int64_t begin = static_cast<std::int64_t>(g) * m_.group_columns;
      const std::int64_t end = std::min(begin + m_.group_columns, m_.n_columns);
      scale(type, zeros[g], scales[g], out + begin, out + end);
    }
  }

 private:
  bool is_transposed() const {
    return m_.layout == CodeLayout::columns || m_.layout == CodeLayout::rows;
  }
  std::int64_t place_of_scale(std::int64_t row, std::int64_t group) const {
    return is_transposed() ? group * m_.n_rows + row
                           : row / m_.rows_per_scale * m_.n_groups + group;
  }
  std::int32_t n_in_word() const { return kBitsOfWord / m_.bits; }
  std::uint32_t mask() const { return (1u << m_.bits) - 1; }
  float middle() const { return static_cast<float>(1 << (m_.bits - 1)); }

  float zero(std::int64_t row, std::int64_t group) const {
    const std::int32_t n = n_in_word();
    switch (m_.layout) {
      case CodeLayout::values:
        return number_at(m_.zeros, place_of_scale(row, group));
      case CodeLayout::packed:
        return static_cast<float>(word_at(m_.zeros, row / n * m_.n_groups + group) >>
                                      (row % n * m_.bits) &
                                  mask()) -
               middle();
      case CodeLayout::columns: {
        std::uint32_t word = word_at(m_.zeros, group * (m_.n_rows / n) + row / n);
        // Of the whole word, as it was subtracted.
        if (m_.zeros_are_less_by_one) word += m_.bits == 4 ? 0x11111111u : 0x01010101u;
        return static_cast<float>(word >> (row % n * m_.bits) & mask());
      }
      case CodeLayout::rows:
        break;
    }
    return static_cast<float>(
        word_at(m_.zeros, group * (m_.n_rows / n) + row / n) >> shift_of_row(row) & mask());
  }

  static int shift_of_row(std::int64_t row) {
    return 4 * kPlaceOfRow[static_cast<std::size_t>(row % 8)];
  }

  void read_codes(std::int64_t row, float* out) const {
    switch (m_.layout) {
      case CodeLayout::values:
        return read_values(row, out);
      case CodeLayout::packed:
        return read_packed(row, out);
      case CodeLayout::columns:
        return read_columns(row, out);
      case CodeLayout::rows:
        break;
    }
    const std::int64_t stride = m_.n_rows / 8;
    const int shift = shift_of_row(row);
    for (std::int64_t c = 0; c < m_.n_columns; ++c)
      out[c] = static_cast<float>(word_at(m_.codes, c * stride + row / 8) >> shift & 15);
  }

  void read_values(std::int64_t row, float* out) const {
    const std::byte* p = m_.codes.data + row * m_.n_columns;
    if (m_.codes.storage == StorageType::i8) {
      for (std::int64_t c = 0; c < m_.n_columns; ++c)
        out[c] = static_cast<float>(static_cast<std::int8_t>(std::to_integer<std::uint8_t>(p[c])));
      return;
    }
    const std::array<float, 256>& values = e4m3_values();
    for (std::int64_t c = 0; c < m_.n_columns; ++c)
      out[c] = values[std::to_integer<std::size_t>(p[c])];
  }

  void read_packed(std::int64_t row, float* out) const {
    const std::int32_t n = n_in_word();
    std::int64_t at = row * ((m_.n_columns + n - 1) / n);
    for (std::int64_t c = 0; c < m_.n_columns; c += n, ++at)
      read_word(word_at(m_.codes, at), c, std::min<std::int64_t>(c + n, m_.n_columns), middle(),
                out);
  }

  void read_columns(std::int64_t row, float* out) const {
    const std::int32_t n = n_in_word();
    std::int64_t at = row;
    for (std::int64_t c = 0; c < m_.n_columns; c += n, at += m_.n_rows)
      read_word(word_at(m_.codes, at), c, c + n, 0, out);
  }

  // Columns [begin, end), from the lowest bits on.
  void read_word(std::uint32_t word, std::int64_t begin, std::int64_t end, float less,
                 float* out) const {
    for (std::int64_t c = begin; c < end; ++c, word >>= m_.bits)
      out[c] = static_cast<float>(static_cast<std::int32_t>(word & mask())) - less;
  }

  QuantizedMatrix m_;
};

class LaterRows final : public RowReader {
 public:
  LaterRows(std::shared_ptr<const RowReader> all, std::int64_t first)
      : all_(std::move(all)), first_(first) {}
  void read(std::int64_t row, float* out) const override { all_->read(first_ + row, out); }

 private:
  std::shared_ptr<const RowReader> all_;
  std::int64_t first_;
};

}  // namespace

float number_at(const TensorView& tensor, std::int64_t i) {
  switch (tensor.storage) {
    case StorageType::f32:
      return loaded<float>(tensor, i);
    case StorageType::f16:
      return float_from_f16(loaded<std::uint16_t>(tensor, i));
    case StorageType::bf16:
      return float_from_bf16(loaded<std::uint16_t>(tensor, i));
    case StorageType::f8_e4m3:
      return e4m3_values()[loaded<std::uint8_t>(tensor, i)];
    case StorageType::i8:
      return loaded<std::int8_t>(tensor, i);
    case StorageType::u8:
    case StorageType::f8_e8m0: {
      const auto exponent = loaded<std::uint8_t>(tensor, i);
      return exponent == 255 ? std::numeric_limits<float>::quiet_NaN()
                             : std::ldexp(1.0f, exponent - 127);
    }
    default:
      throw Error(ExitCode::internal, "tensor '" + tensor.name + "' holds no scales");
  }
}

std::uint32_t word_at(const TensorView& tensor, std::int64_t i) {
  return loaded<std::uint32_t>(tensor, i);
}

TensorView view_of(const QuantizedMatrix& matrix) {
  return {.name = matrix.codes.name,
          .storage = StorageType::f32,
          .shape = {matrix.n_rows, matrix.n_columns},
          .data = matrix.codes.data,
          .n_bytes = matrix.codes.n_bytes,
          .reader = std::make_shared<QuantizedRows>(matrix)};
}

TensorView read_rows_of(const TensorView& matrix, std::int64_t first, std::int64_t n) {
  TensorView rows = matrix;
  rows.shape = {n, matrix.n_cols()};
  rows.reader = std::make_shared<LaterRows>(matrix.reader, first);
  return rows;
}

}  // namespace tovamill
