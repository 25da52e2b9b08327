// The rows of several weight matrices one below the other, as Device::pack takes them.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "kernels/device.h"

namespace tovamill {

class StackedRows {
 public:
  explicit StackedRows(const Device::MatrixSource& source);

  std::int32_t n_rows() const { return n_rows_; }
  std::int32_t n_cols() const { return n_cols_; }
  bool has_bias() const { return has_bias_; }
  // Row `row` as float32, n_cols of them, heads in the order of RotaryLayout.
  void read(std::int64_t row, float* out) const;
  // The same as it is kept in `type`, rounded to the nearest. Throws Error(internal) where rows are
  // not brought to that type.
  void read_as(StorageType type, std::int64_t row, std::byte* out) const;
  // The biases of all parts one after another, zero where a part has none.
  std::vector<float> bias() const;
  // `context` is a StackedRows.
  static void read(const void* context, std::int64_t row, float* out) {
    static_cast<const StackedRows*>(context)->read(row, out);
  }

 private:
  bool is_rotated(std::size_t part) const {
    return !source_.rotated.empty() && source_.rotated[part];
  }
  std::int64_t row_in_file(std::size_t part, std::int64_t row) const;
  float factor_of(std::size_t part, std::int64_t row) const;
  void read_bf16(std::int64_t row, std::byte* out) const;
  // Where a row stands in its file, and what it is multiplied with.
  struct Place {
    const TensorView& part;
    std::int64_t row;
    float factor;
  };
  Place place_of(std::int64_t row) const;

  const Device::MatrixSource& source_;
  std::int32_t n_rows_ = 0, n_cols_ = 0;
  bool has_bias_ = false;
};

}  // namespace tovamill
