// Model files byte by byte, valid ones and, through the raw parts, broken ones.
#pragma once

#include <cstdint>
#include <cstring>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "kernels/types/tensor.h"

namespace tovamill::testing {

// A tensor as it goes into a file.
struct FileTensor {
  std::string name;
  StorageType dtype = StorageType::f32;
  std::vector<std::int64_t> shape;  // outermost first
  std::string bytes;
};

// The value's bytes, little-endian.
template <typename T>
std::string raw(T value) {
  std::string bytes(sizeof(T), '\0');
  std::memcpy(bytes.data(), &value, sizeof(T));
  return bytes;
}

std::uint16_t f16_from_float(
    float value);  // round to nearest even; finite values within f16's range

// `values` in a file's encoding: F32, F16, BF16 or Q8_0 (blocks of 32 with a power of two as
// scale).
std::string encode(const std::vector<float>& values, StorageType dtype);

// Header length, header, data; the header may be anything.
std::string safetensors_file(std::string_view header, std::string_view data);
std::string safetensors_file(const std::vector<FileTensor>& tensors);

std::string gguf_string(std::string_view text);

class GgufBuilder {
 public:
  GgufBuilder& u32(std::string_view key, std::uint32_t value) {
    return raw_value(key, 4, raw(value));
  }
  GgufBuilder& f32(std::string_view key, float value) { return raw_value(key, 6, raw(value)); }
  GgufBuilder& boolean(std::string_view key, bool value) {
    return raw_value(key, 7, raw(static_cast<std::uint8_t>(value)));
  }
  GgufBuilder& text(std::string_view key, std::string_view value) {
    return raw_value(key, 8, gguf_string(value));
  }
  GgufBuilder& texts(std::string_view key, const std::vector<std::string>& values);
  GgufBuilder& i32s(std::string_view key, const std::vector<std::int32_t>& values);
  GgufBuilder& f32s(std::string_view key, const std::vector<float>& values);
  // A value of GGUF's type number `type`, its bytes as they are.
  GgufBuilder& raw_value(std::string_view key, std::uint32_t type, std::string_view bytes);

  // Data are laid out in order, at multiples of the alignment.
  GgufBuilder& tensor(const FileTensor& tensor);
  // An entry of the tensor list, its parts as they are; no data. `dims` innermost first, as in the
  // file.
  GgufBuilder& raw_tensor(std::string_view name, std::uint32_t n_dims,
                          const std::vector<std::uint64_t>& dims, std::uint32_t type,
                          std::uint64_t offset);
  GgufBuilder& raw_data(std::string_view bytes);

  // What the header says, where it is to differ from the truth.
  std::string magic = "GGUF";
  std::uint32_t version = 3;
  std::uint64_t alignment = 32;  // of the data; not written as a value
  std::optional<std::uint64_t> claimed_tensors;
  std::optional<std::uint64_t> claimed_values;

  std::string header() const;  // to the end of the tensor list
  std::string bytes() const;

 private:
  std::string values_, infos_, data_;
  std::uint64_t n_values_ = 0, n_tensors_ = 0;
};

}  // namespace tovamill::testing
