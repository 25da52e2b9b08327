// Rows of quantised matrices as float32, decoded where they are read.
#pragma once

#include <cstdint>

#include "kernels/types/tensor.h"

namespace tovamill {

// How the numbers of a matrix lie in its tensor of codes.
enum class CodeLayout : std::uint8_t {
  values,   // (n_rows, n_columns), I8 or F8_E4M3
  packed,   // compressed-tensors: a row's, one behind the other in I32, less 2^(bits - 1)
  columns,  // GPTQ: (n_columns / n, n_rows), n of a row in an I32
  rows      // AWQ: (n_columns, n_rows / 8), those of 8 rows in an I32, even rows first
};

// A number is (code - zero point) * scale. The groups of a row are runs of `group_columns` columns,
// or what `group_of_column` says.
struct QuantizedMatrix {
  std::int64_t n_rows = 0, n_columns = 0;
  CodeLayout layout = CodeLayout::values;
  std::int32_t bits = 8;
  TensorView codes = {};
  // (n_rows / rows_per_scale, n_groups), rounded up; of GPTQ and AWQ (n_groups, n_rows).
  TensorView scales = {};
  TensorView zeros = {};  // without data: none; packed as the codes are, or one for each scale
  TensorView group_of_column = {};  // (n_columns), I32 within n_groups; without data: none
  std::int64_t n_groups = 1, group_columns = 0, rows_per_scale = 1;
  bool zeros_are_less_by_one = false;
  bool rounds_to_scales = false;  // products have the type of the scales, as in the libraries
};

// A matrix of float32 of the name of its codes. The shapes of all parts are right (checked before).
TensorView view_of(const QuantizedMatrix& matrix);

// Rows [first, first + n) of a matrix that has a reader.
TensorView read_rows_of(const TensorView& matrix, std::int64_t first, std::int64_t n);

// Element `i` of a tensor of F32, F16, BF16, F8_E4M3, I8, or F8_E8M0 or U8, which are exponents.
float number_at(const TensorView& tensor, std::int64_t i);
// Element `i` of a tensor of I32.
std::uint32_t word_at(const TensorView& tensor, std::int64_t i);

}  // namespace tovamill
