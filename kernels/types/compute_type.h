// The type in which matrices are multiplied, beside the one in which they are kept.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string_view>

#include "kernels/types/tensor.h"

namespace tovamill {

// Both factors of a product are of it; sums are float32.
enum class ComputeType : std::uint8_t { f32, bf16 };

// As --dtype and all files of a run spell it.
constexpr std::string_view name_of(ComputeType type) {
  switch (type) {
    case ComputeType::f32:
      return "f32";
    case ComputeType::bf16:
      return "bf16";
  }
  return "?";
}

constexpr std::size_t element_bytes(ComputeType type) {
  switch (type) {
    case ComputeType::f32:
      return 4;
    case ComputeType::bf16:
      return 2;
  }
  return 0;
}

// What a backend keeps of a weight matrix and in which type it multiplies that.
struct MatrixType {
  StorageType storage = StorageType::f32;
  ComputeType compute = ComputeType::f32;
};

// A matrix whose elements are brought to the type of the products once, when it is packed.
constexpr MatrixType expanded_to(ComputeType type) {
  switch (type) {
    case ComputeType::f32:
      return {StorageType::f32, type};
    case ComputeType::bf16:
      return {StorageType::bf16, type};
  }
  return {};
}

}  // namespace tovamill
