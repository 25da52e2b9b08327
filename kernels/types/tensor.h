// Plain types for weights as they lie in a model file: element types and views of read-only memory.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

namespace tovamill {

// How the elements of a matrix are kept: in a model file, or in the memory of a backend. The
// quantised types are GGUF's block formats.
enum class StorageType : std::uint8_t {
  f32,
  f16,
  bf16,
  q8_0,
  q4_0,
  q4_1,
  q5_0,
  q5_1,
  q4_k,
  q5_k,
  q6_k,
  q2_k,
  q3_k,
  iq1_m,
  iq1_s,
  iq2_s,
  iq2_xs,
  iq2_xxs,
  iq3_s,
  iq3_xxs,
  iq4_nl,
  iq4_xs,
  mxfp4,
  tq1_0,
  tq2_0,
  // What only a RowReader understands.
  u8,
  i8,
  i32,
  i64,
  f8_e4m3,
  f8_e8m0
};

// Elements and bytes of one block; a plain type is a block of one element.
struct BlockFormat {
  std::string_view name;  // as GGUF and safetensors spell it, upper case
  std::int32_t n_elements;
  std::int32_t n_bytes;
};

BlockFormat block_format(StorageType type);
// Whether elements of the type mean nothing without a RowReader.
bool is_raw(StorageType type);
// Bytes of `n` elements, whole blocks.
std::uint64_t bytes_of_elements(StorageType type, std::uint64_t n);

// Rows of a matrix that stand in a file as no storage type says.
class RowReader {
 public:
  virtual ~RowReader() = default;
  virtual void read(std::int64_t row, float* out) const = 0;
};

// A tensor inside a mapped file: row-major, the last dimension contiguous. Does not own the memory.
struct TensorView {
  std::string name;  // as in the file, for messages
  StorageType storage = StorageType::f32;
  std::vector<std::int64_t> shape;  // outermost first: a weight is (out_features, in_features)
  const std::byte* data = nullptr;
  std::size_t n_bytes = 0;
  std::shared_ptr<const RowReader> reader = nullptr;  // of the rows, in place of `storage`

  std::int64_t n_elements() const;
  std::int64_t n_rows() const;  // product of all dimensions but the last
  std::int64_t n_cols() const;  // the last dimension
};

// Elements [row * n_cols, (row + 1) * n_cols) of `tensor` as float32 into `out` (n_cols values).
// Quantised blocks are decoded by the definitions of ggml; f16 subnormals, infinities and NaN are
// kept.
void dequantize_row(const TensorView& tensor, std::int64_t row, float* out);

float float_from_bf16(std::uint16_t bits);
float float_from_f16(std::uint16_t bits);
std::uint16_t bf16_from_float(float value);  // round to nearest even, NaN stays NaN

}  // namespace tovamill
