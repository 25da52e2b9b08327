// The multi-state of one stream on the CPU: of each layer the unrotated and the rotated keys, the
// values and what the policy remembers, a slot for each token. Slots carry no order: each knows its
// position. The first slots of a layer that merges are the places of merged tokens.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <vector>

#include "kernels/backend.h"
#include "kernels/cpu/gemm.h"
#include "kernels/cpu/isa_kernels.h"
#include "kernels/state_plan.h"

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

inline std::int64_t pad_slots(std::int64_t n) { return (n + kSlotPad - 1) / kSlotPad * kSlotPad; }

// What all streams of a backend have in common.
struct StateLayout {
  std::vector<LayerHeads> heads = {};  // (n_layers)
  std::int32_t n_eviction_groups = 1;
  ComputeType storage = ComputeType::f32;    // of keys and values
  bool keeps_unrotated = true;               // false where no key is ever rotated again
  PolicyMemory memory = PolicyMemory::none;  // a float a number and slot
  // Of bounded states: what each layer keeps at most, and slots beside for a tile's tokens.
  std::vector<LayerPlaces> places = {};
  std::int32_t tile_queries = 0;

  std::int32_t n_merged(std::int32_t layer) const {
    return places.empty() ? 0 : places[static_cast<std::size_t>(layer)].merged;
  }
  // Slots of the widest bounded layer; of a layer where that one has `capacity`, which is more in
  // states that have grown.
  std::int64_t bounded_capacity() const;
  std::int64_t layer_capacity(std::int32_t layer, std::int64_t capacity) const;
  std::int32_t n_layers() const { return static_cast<std::int32_t>(heads.size()); }
  const LayerHeads& of(std::int32_t layer) const { return heads[static_cast<std::size_t>(layer)]; }
  // Bytes of a row of keys or values, (head_dim).
  std::size_t row_bytes(std::int32_t layer) const {
    return static_cast<std::size_t>(of(layer).head_dim) * element_bytes(storage);
  }
  // Arrays of a KV head (unrotated keys where they are kept, rotated ones, values) and of an
  // eviction group (positions, what the policy remembers).
  std::int32_t n_head_arrays() const { return keeps_unrotated ? 3 : 2; }
  std::int32_t n_group_arrays() const { return 1 + memory_numbers(memory); }
  // Bytes of one layer where the widest has `capacity` slots; of what a layer that merges has
  // beside its slots (MergeRows).
  std::size_t layer_bytes(std::int32_t layer, std::int64_t capacity) const;
  std::size_t merge_bytes(std::int32_t layer) const;
  std::size_t state_bytes(std::int64_t capacity) const;
};

// The position of merged tokens among those of slots: below all that may leave.
inline constexpr std::int32_t kMergedPosition = -1;

// What a layer that merges has beside its slots.
struct MergeRows {
  double* positions;     // (n_kv_heads, n_merged) mean positions of merged tokens
  float* score_biases;   // (n_kv_heads, n_merged) before the scale of the scores; -inf: unused
  float* query_sums;     // (n_heads, 2, head_dim) of queries since the last merge, of squares
  std::int32_t* n_left;  // tokens that left since the last merge
  std::int32_t* left_positions;        // (kMergeInterval)
  std::byte *left_keys, *left_values;  // (n_kv_heads, kMergeInterval, head_dim), as rows of slots
};

class CpuState final : public StreamState {
 public:
  CpuState(const StateLayout& layout, std::int64_t capacity);

  // Makes room for exactly `capacity` slots in the widest layer, keeping what is there: no layer
  // may hold more than it gets. Throws OutOfMemory; nothing has changed then.
  void resize(std::int64_t capacity);
  void reset();
  // Becomes what `other`, of the same layout, is. Throws OutOfMemory; nothing has changed then.
  void assign(const CpuState& other);

  std::int64_t capacity() const { return capacity_; }  // slots of the widest layer
  std::int32_t& n_slots(std::int32_t layer) { return n_slots_[static_cast<std::size_t>(layer)]; }
  std::int32_t n_slots(std::int32_t layer) const {
    return n_slots_[static_cast<std::size_t>(layer)];
  }

  std::int32_t n_merged(std::int32_t layer) const { return layout_.n_merged(layer); }
  std::int32_t n_held(std::int32_t layer) const { return n_slots(layer) - n_merged(layer); }
  MergeRows merge_rows(std::int32_t layer) const;

  // Rows of one KV head (layer_capacity, head_dim) in the storage type.
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
  // slots; then what it has for merging, if it does.
  std::vector<std::span<std::byte>> parts(std::int32_t layer, std::int64_t n_slots) const;
  // Bytes of all of them.
  std::size_t parts_bytes(std::int32_t layer, std::int64_t n_slots) const;

 private:
  void copy_slots(const CpuState& other);
  void lay_out(std::int64_t capacity);
  void clear_merged(std::int32_t layer);
  // Bytes of one slot of each of the arrays of slots.
  std::vector<std::size_t> slot_bytes(std::int32_t layer) const;
  std::int64_t slots_of(std::int32_t layer) const {
    return layout_.layer_capacity(layer, capacity_);
  }
  std::byte* layer_base(std::int32_t layer) const;
  std::byte* head(std::int32_t layer, std::int32_t kv, int array) const;
  float* policy_row(std::int32_t layer, std::int32_t group, int array) const;
  std::size_t head_bytes(std::int32_t layer) const;

  StateLayout layout_;
  std::int64_t capacity_ = 0;
  AlignedBytes arena_;
  std::vector<std::size_t> layer_offsets_;  // in the arena
  std::vector<std::int32_t> n_slots_;
  std::vector<std::int64_t> rotation_;
  std::int64_t n_tokens_ = 0, n_before_segment_ = 0;
  std::int32_t pin_ = 0;
};

}  // namespace tovamill::cpu
