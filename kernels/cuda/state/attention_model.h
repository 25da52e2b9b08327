// What attention on a GPU knows of a model and its cache options, the same in all steps: where
// things stand in a state, how many slots it has room for and has taken, what its rotated keys are
// relative to, by which rule tokens are evicted.
#pragma once

#include <cstdint>
#include <vector>

#include "kernels/backend.h"
#include "kernels/cuda/gemm/gemm.h"
#include "kernels/cuda/state/tile.h"
#include "kernels/saved_state.h"

namespace tovamill::cuda {

class AttentionModel {
 public:
  AttentionModel(const BackendOptions& options, ComputeType type);

  ComputeType type() const { return type_; }
  const ModelShape& model() const { return model_; }
  const CacheOptions& cache() const { return cache_; }
  // What layers do not differ in.
  const StateLayout& layout() const { return layouts_.front(); }
  const StateLayout& layout(std::int32_t layer) const {
    return layouts_[static_cast<std::size_t>(layer)];
  }
  // Of the most heads and the largest that a layer has.
  const AttentionShape& shape() const { return widest_shape_; }
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
  // Whether layers differ in their places, or in them or their heads.
  bool places_differ() const { return tovamill::layers_differ(cache_); }
  bool layers_differ() const { return places_differ() || heads_differ_; }
  bool merges() const { return cache_.merge > 0; }
  LayerPlaces places(std::int32_t layer) const { return places_of(cache_, model_, layer); }
  // Of a state whose widest layer has `capacity` slots: slots of a layer, where it begins, all
  // bytes.
  std::int64_t layer_capacity(std::int32_t layer, std::int64_t capacity) const;
  std::int64_t layer_offset(std::int32_t layer, std::int64_t capacity) const;
  std::int64_t layer_bytes(std::int32_t layer, std::int64_t capacity) const;
  std::size_t state_bytes(std::int64_t capacity) const;
  LayerView view(const CudaState& state, std::int32_t layer) const;
  // Slots taken in a layer of the state, places of merged tokens included.
  std::int64_t n_slots(const CudaState& state, std::int32_t layer) const;
  // Tokens that the layer holds where CudaState has these, and after `n` more of the block.
  std::int64_t held_in(std::int32_t layer, std::int64_t n_held, std::int64_t n_grown) const;
  std::int64_t held_after(const StepBlock& block, std::int32_t layer, std::int64_t held,
                          std::int64_t n) const;
  // At least the slots taken in any layer.
  std::int32_t most_slots(const CudaState& state) const;
  // Takes the state's counts past `n` tokens of the block.
  void take(const StepBlock& block, CudaState& state, std::int64_t n) const;
  // Positions up to the next multiple of it go into one tile.
  std::int32_t tile_positions() const { return merges() ? kMergeInterval : kRopeSegmentTokens; }
  // A tile as the layer has it; those of models whose layers do not differ hold for all.
  TileInfo in_layer(const TileInfo& tile, std::int32_t layer) const;
  // What the rotated keys of a state are relative to for the query at `position`.
  std::int64_t wanted_rotation(std::int64_t position) const;
  // Of the widest layer.
  DecisionRule rule_of(const StepBlock& block) const;

 private:
  AttentionShape attention_shape(std::int32_t l, const LayerHeads& heads,
                                 std::int32_t groups) const;

  ModelShape model_;
  CacheOptions cache_;
  ComputeType type_;
  std::int32_t max_rows_, max_block_;
  std::int64_t clip_ = 0;
  std::int32_t widest_ = 0;     // places of the widest layer
  std::int32_t most_held_ = 0;  // tokens of the layer that takes most
  bool heads_differ_ = false;
  std::vector<StateLayout> layouts_;    // (n_layers)
  std::vector<AttentionShape> shapes_;  // (n_layers)
  AttentionShape widest_shape_ = {};
  std::vector<std::int64_t> offsets_;  // of the layers of a bounded state, where they differ
};

}  // namespace tovamill::cuda
