// The multi-state of one stream on the CPU: of each layer the unrotated and the rotated keys, the
// values and what the policy remembers, a slot for each token. Slots carry no order: each knows its
// position.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <vector>

#include "kernels/backend.h"
#include "kernels/cpu/gemm.h"

namespace tovamill::cpu {

// 64-byte aligned memory that is zero at first.
class AlignedBytes {
 public:
  AlignedBytes() = default;
  explicit AlignedBytes(std::size_t n_bytes);  // throws OutOfMemory
  std::byte* data() const { return data_.get(); }
  std::size_t size() const { return n_bytes_; }

 private:
  struct Free {
    void operator()(std::byte* p) const;
  };
  std::unique_ptr<std::byte[], Free> data_;
  std::size_t n_bytes_ = 0;
};

// What all streams of a backend have in common.
struct StateLayout {
  std::int32_t n_layers = 0, n_kv_heads = 0, head_dim = 0;
  std::int32_t n_eviction_groups = 1;
  ComputeType storage = ComputeType::f32;    // of keys and values
  bool keeps_unrotated = true;               // false where no key is ever rotated again
  PolicyMemory memory = PolicyMemory::none;  // a float a number and slot

  // Bytes of a row of keys or values, (head_dim).
  std::size_t row_bytes() const {
    return static_cast<std::size_t>(head_dim) * element_bytes(storage);
  }
  // Arrays of a KV head (unrotated keys where they are kept, rotated ones, values) and of an
  // eviction group (positions, what the policy remembers).
  std::int32_t n_head_arrays() const { return keeps_unrotated ? 3 : 2; }
  std::int32_t n_group_arrays() const { return 1 + memory_numbers(memory); }
  // Bytes of one layer with room for `capacity` slots.
  std::size_t layer_bytes(std::int64_t capacity) const;
};

class CpuState final : public StreamState {
 public:
  CpuState(const StateLayout& layout, std::int64_t capacity);

  // Makes room for exactly `capacity` slots a layer, keeping what is there: no layer may hold
  // more. Throws OutOfMemory; nothing has changed then.
  void resize(std::int64_t capacity);
  void reset();
  // Becomes what `other`, of the same layout, is. Throws OutOfMemory; nothing has changed then.
  void assign(const CpuState& other);

  std::int64_t capacity() const { return capacity_; }
  std::int32_t& n_slots(std::int32_t layer) { return n_slots_[static_cast<std::size_t>(layer)]; }
  std::int32_t n_slots(std::int32_t layer) const {
    return n_slots_[static_cast<std::size_t>(layer)];
  }

  // Rows of one KV head (capacity, head_dim) in the storage type.
  std::byte* unrotated(std::int32_t layer, std::int32_t kv) const { return head(layer, kv, 0); }
  std::byte* rotated(std::int32_t layer, std::int32_t kv) const {
    return head(layer, kv, layout_.keeps_unrotated ? 1 : 0);
  }
  std::byte* values(std::int32_t layer, std::int32_t kv) const {
    return head(layer, kv, layout_.keeps_unrotated ? 2 : 1);
  }
  // (capacity) of one eviction group.
  std::int32_t* positions(std::int32_t layer, std::int32_t group) const;
  float* memory(std::int32_t layer, std::int32_t group) const {
    return policy_row(layer, group, 0);
  }
  float* decay_power(std::int32_t layer, std::int32_t group) const {
    return policy_row(layer, group, 1);
  }
  float* value_norm(std::int32_t layer, std::int32_t group) const {
    return policy_row(layer, group, 2);
  }

  // What the rotated keys are relative to (AttentionModel::wanted_rotation): the shift of clipped
  // positions, or the RoPE segment for in-state ones.
  std::int64_t& rotation(std::int32_t layer) { return rotation_[static_cast<std::size_t>(layer)]; }
  std::int64_t rotation(std::int32_t layer) const {
    return rotation_[static_cast<std::size_t>(layer)];
  }
  // That the stream has taken: the position of its next one.
  std::int64_t& n_tokens() { return n_tokens_; }
  std::int64_t n_tokens() const { return n_tokens_; }
  // In-state positions: tokens held when the current RoPE segment began.
  std::int64_t& n_before_segment() { return n_before_segment_; }
  std::int64_t n_before_segment() const { return n_before_segment_; }
  // StepBlock::pin of the blocks so far.
  std::int32_t& pin() { return pin_; }
  std::int32_t pin() const { return pin_; }
  std::uint64_t n_bytes() const { return arena_.size(); }

  // The arrays of a layer in the order of memory (unrotated and rotated keys and values, a head
  // each; positions and the policy's rows, an eviction group each), cut to their first `n_slots`
  // slots.
  std::vector<std::span<std::byte>> parts(std::int32_t layer, std::int64_t n_slots) const;
  // Bytes of one slot of each of them.
  std::vector<std::size_t> slot_bytes() const;

 private:
  void copy_slots(const CpuState& other);
  std::byte* layer_base(std::int32_t layer) const;
  std::byte* head(std::int32_t layer, std::int32_t kv, int array) const;
  float* policy_row(std::int32_t layer, std::int32_t group, int array) const;
  std::size_t head_bytes() const;

  StateLayout layout_;
  std::int64_t capacity_ = 0;
  AlignedBytes arena_;
  std::vector<std::int32_t> n_slots_;
  std::vector<std::int64_t> rotation_;
  std::int64_t n_tokens_ = 0, n_before_segment_ = 0;
  std::int32_t pin_ = 0;
};

}  // namespace tovamill::cpu
