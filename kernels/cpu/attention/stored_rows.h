// Rows of a state's keys and values in the type in which it keeps them.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>

#include "kernels/cpu/attention/tile.h"

namespace tovamill::cpu {

// Where a KV head's keys or values of `slot` lie.
inline std::byte* row_of(const AttentionModel& model, std::byte* head, std::int64_t slot) {
  return head + slot * static_cast<std::int64_t>(model.row_bytes());
}

// Between float32 and the type of a state's rows; (head_dim) each.
inline void to_storage(const LayerPass& pass, const float* row, std::byte* to) {
  if (pass.model.layout.storage == ComputeType::bf16) {
    pass.isa.to_bf16(row, pass.model.shape.head_dim, reinterpret_cast<std::uint16_t*>(to));
  } else {
    std::memcpy(to, row, pass.model.row_bytes());
  }
}
inline void from_storage(const LayerPass& pass, const std::byte* row, float* to) {
  if (pass.model.layout.storage == ComputeType::bf16) {
    pass.isa.from_bf16(reinterpret_cast<const std::uint16_t*>(row), pass.model.shape.head_dim, to);
  } else {
    std::memcpy(to, row, pass.model.row_bytes());
  }
}

}  // namespace tovamill::cpu
