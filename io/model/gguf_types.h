// The numbers by which GGUF names types (ggml.h: ggml_type; gguf.h: gguf_type).
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>

#include "kernels/types/tensor.h"

namespace tovamill {

enum class GgufValueType : std::uint32_t {
  u8 = 0,
  i8 = 1,
  u16 = 2,
  i16 = 3,
  u32 = 4,
  i32 = 5,
  f32 = 6,
  boolean = 7,
  string = 8,
  array = 9,
  u64 = 10,
  i64 = 11,
  f64 = 12,
};

// Bytes that one value of the type takes in the file at least; 0 where there is no such type.
std::size_t min_bytes(GgufValueType type);

// The element type of a tensor, if it is one of ours.
std::optional<StorageType> storage_from_ggml(std::uint32_t type);

// ggml's name of an element type, ours or not: "IQ4_XS", "number 99".
std::string ggml_type_name(std::uint32_t type);

}  // namespace tovamill
