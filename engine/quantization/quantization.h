// What quantization_config of a Hugging Face directory says of the weights.
#pragma once

#include <cstdint>
#include <nlohmann/json.hpp>
#include <string>

namespace tovamill {

enum class QuantizationMethod : std::uint8_t {
  none,
  mxfp4,     // of experts, which read it themselves
  fp8,       // e4m3 with scales of blocks or of the tensor
  packed,    // compressed-tensors, 4 or 8 bits in words
  integers,  // compressed-tensors, int8
  floats,    // compressed-tensors, FP8
  gptq,
  awq
};

// How many numbers share a scale.
enum class ScaleOf : std::uint8_t { tensor, row, group, block };

struct Quantization {
  QuantizationMethod method = QuantizationMethod::none;
  std::int32_t bits = 8;
  ScaleOf scale_of = ScaleOf::tensor;
  std::int32_t group_size = 0;                     // columns, of ScaleOf::group
  std::int32_t block_rows = 0, block_columns = 0;  // of ScaleOf::block
  bool has_zeros = false;                          // of compressed-tensors: asymmetric
  bool zeros_are_less_by_one = false;              // of GPTQ: its first format
  bool scales_are_exponents = false;               // of FP8: bytes that stand for powers of two
  bool needs_groups_of_columns = false;            // g_idx must be there
  bool quantizes_activations = false;              // as published; here they are not
  std::string description;                         // "GPTQ of 4 bits, groups of 128"; empty: none
};

// `where` names the file in messages. Throws BadData for every method, format and key that is not
// understood, by its name.
Quantization quantization_from_hf(const nlohmann::json& config, const std::string& where);

}  // namespace tovamill
