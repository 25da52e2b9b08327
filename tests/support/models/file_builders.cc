#include "tests/support/models/file_builders.h"

#include <algorithm>
#include <cmath>
#include <nlohmann/json.hpp>
#include <stdexcept>

namespace tovamill::testing {

namespace {

std::uint32_t ggml_number(StorageType dtype) {
  switch (dtype) {
    case StorageType::f32:
      return 0;
    case StorageType::f16:
      return 1;
    case StorageType::q4_0:
      return 2;
    case StorageType::q4_1:
      return 3;
    case StorageType::q5_0:
      return 6;
    case StorageType::q5_1:
      return 7;
    case StorageType::q8_0:
      return 8;
    case StorageType::q4_k:
      return 12;
    case StorageType::q5_k:
      return 13;
    case StorageType::q6_k:
      return 14;
    case StorageType::bf16:
      return 30;
    case StorageType::q2_k:
      return 10;
    case StorageType::q3_k:
      return 11;
    case StorageType::iq2_xxs:
      return 16;
    case StorageType::iq2_xs:
      return 17;
    case StorageType::iq3_xxs:
      return 18;
    case StorageType::iq1_s:
      return 19;
    case StorageType::iq4_nl:
      return 20;
    case StorageType::iq3_s:
      return 21;
    case StorageType::iq2_s:
      return 22;
    case StorageType::iq4_xs:
      return 23;
    case StorageType::iq1_m:
      return 29;
    case StorageType::tq1_0:
      return 34;
    case StorageType::tq2_0:
      return 35;
    case StorageType::u8:
    case StorageType::i8:
    case StorageType::i32:
    case StorageType::i64:
    case StorageType::f8_e4m3:
    case StorageType::f8_e8m0:
      break;  // no type of GGUF
    case StorageType::mxfp4:
      return 39;
  }
  throw std::logic_error("no such element type");
}

std::string encode_q8_0(const std::vector<float>& values) {
  std::string bytes;
  for (std::size_t begin = 0; begin < values.size(); begin += 32) {
    float largest = 0;
    for (std::size_t i = begin; i < begin + 32; ++i)
      largest = std::max(largest, std::abs(values[i]));
    const float scale = largest == 0 ? 1 : std::exp2(std::ceil(std::log2(largest / 127)));
    bytes += raw(f16_from_float(scale));
    for (std::size_t i = begin; i < begin + 32; ++i) {
      bytes += raw(static_cast<std::int8_t>(std::nearbyint(values[i] / scale)));
    }
  }
  return bytes;
}

void pad_to(std::string& bytes, std::uint64_t alignment) {
  while (bytes.size() % alignment != 0) bytes += '\0';
}

}  // namespace

std::uint16_t f16_from_float(float value) {
  const std::uint16_t sign = std::signbit(value) ? 0x8000 : 0;
  const float magnitude = std::abs(value);
  if (magnitude == 0) return sign;
  const int exponent = std::max(std::ilogb(magnitude), -14);
  // 1024 units to the power of two; a carry into the next power is the next exponent's zero
  // mantissa.
  const auto units = static_cast<int>(std::nearbyint(std::ldexp(magnitude, 10 - exponent)));
  return static_cast<std::uint16_t>(sign | (((exponent + 14) << 10) + units));
}

std::string encode(const std::vector<float>& values, StorageType dtype) {
  if (dtype == StorageType::q8_0) return encode_q8_0(values);
  std::string bytes;
  for (const float value : values) {
    if (dtype == StorageType::f32) bytes += raw(value);
    if (dtype == StorageType::f16) bytes += raw(f16_from_float(value));
    if (dtype == StorageType::bf16) bytes += raw(bf16_from_float(value));
  }
  return bytes;
}

std::string safetensors_file(std::string_view header, std::string_view data) {
  return raw(static_cast<std::uint64_t>(header.size())) + std::string(header) + std::string(data);
}

std::string safetensors_file(const std::vector<FileTensor>& tensors) {
  nlohmann::ordered_json header;
  header["__metadata__"] = {{"format", "pt"}};
  std::string data;
  for (const FileTensor& tensor : tensors) {
    header[tensor.name] = {{"dtype", block_format(tensor.dtype).name},
                           {"shape", tensor.shape},
                           {"data_offsets", {data.size(), data.size() + tensor.bytes.size()}}};
    data += tensor.bytes;
  }
  return safetensors_file(header.dump(), data);
}

std::string gguf_string(std::string_view text) {
  return raw(static_cast<std::uint64_t>(text.size())) + std::string(text);
}

GgufBuilder& GgufBuilder::raw_value(std::string_view key, std::uint32_t type,
                                    std::string_view bytes) {
  values_ += gguf_string(key) + raw(type);
  values_ += bytes;
  ++n_values_;
  return *this;
}

GgufBuilder& GgufBuilder::texts(std::string_view key, const std::vector<std::string>& values) {
  std::string bytes = raw(std::uint32_t{8}) + raw(static_cast<std::uint64_t>(values.size()));
  for (const std::string& value : values) bytes += gguf_string(value);
  return raw_value(key, 9, bytes);
}

GgufBuilder& GgufBuilder::i32s(std::string_view key, const std::vector<std::int32_t>& values) {
  std::string bytes = raw(std::uint32_t{5}) + raw(static_cast<std::uint64_t>(values.size()));
  for (const std::int32_t value : values) bytes += raw(value);
  return raw_value(key, 9, bytes);
}

GgufBuilder& GgufBuilder::f32s(std::string_view key, const std::vector<float>& values) {
  std::string bytes = raw(std::uint32_t{6}) + raw(static_cast<std::uint64_t>(values.size()));
  for (const float value : values) bytes += raw(value);
  return raw_value(key, 9, bytes);
}

GgufBuilder& GgufBuilder::tensor(const FileTensor& tensor) {
  pad_to(data_, alignment);
  std::vector<std::uint64_t> dims(tensor.shape.rbegin(), tensor.shape.rend());
  raw_tensor(tensor.name, static_cast<std::uint32_t>(dims.size()), dims, ggml_number(tensor.dtype),
             data_.size());
  return raw_data(tensor.bytes);
}

GgufBuilder& GgufBuilder::raw_tensor(std::string_view name, std::uint32_t n_dims,
                                     const std::vector<std::uint64_t>& dims, std::uint32_t type,
                                     std::uint64_t offset) {
  infos_ += gguf_string(name) + raw(n_dims);
  for (const std::uint64_t n : dims) infos_ += raw(n);
  infos_ += raw(type) + raw(offset);
  ++n_tensors_;
  return *this;
}

GgufBuilder& GgufBuilder::raw_data(std::string_view bytes) {
  data_ += bytes;
  return *this;
}

std::string GgufBuilder::header() const {
  return magic + raw(version) + raw(claimed_tensors.value_or(n_tensors_)) +
         raw(claimed_values.value_or(n_values_)) + values_ + infos_;
}

std::string GgufBuilder::bytes() const {
  std::string result = header();
  pad_to(result, alignment);
  return result + data_;
}

}  // namespace tovamill::testing
