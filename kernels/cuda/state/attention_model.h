// What attention on a GPU knows of a model and its cache options, the same in all steps: where
// things stand in a state, how many slots it has room for and has taken, what its rotated keys are
// relative to, by which rule tokens are evicted.
#pragma once

#include <cstdint>
#include <vector>

#include "kernels/backend.h"
#include "kernels/cuda/gemm/gemm.h"
#include "kernels/cuda/state/tile.h"

namespace tovamill::cuda {

class AttentionModel {
 public:
  AttentionModel(const BackendOptions& options, ComputeType type);

  ComputeType type() const { return type_; }
  const ModelShape& model() const { return model_; }
  const CacheOptions& cache() const { return cache_; }
  const StateLayout& layout() const { return layout_; }
  // What all layers have in common.
  const AttentionShape& shape() const { return shapes_.front(); }
  // The window and the scale of the layer, too.
  const AttentionShape& shape(std::int32_t layer) const {
    return shapes_[static_cast<std::size_t>(layer)];
  }
  std::int32_t max_rows() const { return max_rows_; }

  // Slots of keys and values of a state that has read `n_tokens`, with keeps_all or without.
  std::int64_t capacity(std::int64_t n_tokens, bool keeps_all) const;
  // Slots at most of a tile whose state has read `n_tokens`.
  std::int64_t tile_slots(std::int64_t n_tokens, bool keeps_all) const;
  // Slots that the scratch of decoding is laid out for where a state has `n_slots`: more, so that
  // it is the same for many steps one after another, and always for bounded states.
  std::int64_t decode_slots(std::int64_t n_slots) const;
  // Bytes of a state of `capacity` slots.
  std::size_t state_bytes(std::int64_t capacity) const;
  // Slots taken in a state that holds `n_held` tokens and reads `n` more of the block.
  std::int64_t held_after(const StepBlock& block, std::int64_t n_held, std::int64_t n) const;
  // What the rotated keys of a state are relative to for the query at `position`.
  std::int64_t wanted_rotation(std::int64_t position) const;
  DecisionRule rule_of(const StepBlock& block) const;

 private:
  ModelShape model_;
  CacheOptions cache_;
  ComputeType type_;
  std::int32_t max_rows_, max_block_;
  std::int64_t clip_ = 0;
  StateLayout layout_;
  std::vector<AttentionShape> shapes_;  // (n_layers)
};

}  // namespace tovamill::cuda
