// Attention of a step's blocks over their bounded states on a GPU (kernels/README.md, "Evictions"
// to "Positions"). A tile (step_layout.h) is appended to its state, scored against all slots,
// scanned for evictions, its weighted sums taken, and survivors move into the slots of the evicted.
// Blocks of one token are decoded by a kernel of their own (attention_decode.cu).
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "kernels/backend.h"
#include "kernels/cuda/attention/attention_kernels.h"
#include "kernels/cuda/attention/attention_scratch.h"
#include "kernels/cuda/attention/step_events.h"
#include "kernels/cuda/attention/step_layout.h"
#include "kernels/cuda/attention/step_timer.h"
#include "kernels/cuda/device/arena.h"
#include "kernels/cuda/state/attention_model.h"

namespace tovamill::cuda {

class Attention {
 public:
  Attention(const AttentionModel& model, Arena& arena, const Stream& stream, StepTimer& timer);

  // Before begin_step, for a state that will hold `n_slots`. Throws OutOfMemory.
  void make_room(std::int64_t n_slots) { scratch_.make_room(n_slots); }
  // Lays out the step, takes the states to where they will be after it, and brings its tiles to the
  // device. The step before in the same memory must be finished.
  void begin_step(std::span<const StepBlock> blocks, std::int32_t n_rows);
  // qkv (n_rows, q_size + 2 kv_size) float32; out (n_rows, q_size) in the compute type; `sinks`
  // (n_heads) or null.
  void run(std::int32_t layer, const AttentionRowWeights& weights, const float* sinks,
           const float* qkv, void* out);
  // Starts the copy of the step's evictions to the host; afterwards, once the stream has come past
  // it, what block `block` left in `layer`.
  void fetch_events() { events_.fetch(stream_); }
  void read_events(std::int32_t layer, std::size_t block, BlockEvents& events) const {
    events_.read(layout_, layer, block, events);
  }

  const StepLayout& layout() const { return layout_; }
  const AttentionScratch& scratch() const { return scratch_; }
  std::size_t workspace_bytes() const;
  // The same once a state has held `n_slots`.
  std::size_t workspace_bytes_for(std::int64_t n_slots) const;

 private:
  void upload();
  // Of a rotary table.
  const double* inv_freq(std::int32_t rope) const;  // (head_dim / 2)
  std::int32_t half_of(std::int32_t rope) const;    // of the size of its heads
  float* angles(std::int32_t rope) const;           // (max_rows, head_dim) of the step's rows
  // `shape`: of the layer, with its sinks.
  template <class T>
  void run_batch(const TileBatch& batch, const AttentionShape& shape, std::int32_t layer,
                 const AttentionRowWeights& weights, const float* qkv, T* out);
  template <class T>
  MergeArguments<T> merge_arguments(const TileBatch& batch, std::int32_t layer,
                                    const TileScratch& scratch) const;
  std::size_t merge_scratch_bytes() const;
  const TileInfo* tiles_of(std::int32_t layer) const;
  std::size_t upload_layer_tiles(std::byte* staging) const;
  template <class T>
  void run_tiles(const TileBatch& batch, const AttentionShape& shape, const TileScratch& s,
                 float* partial, std::int32_t layer, T* out);
  template <class T>
  void run_decode(const TileBatch& batch, const AttentionShape& shape, std::int32_t layer, T* out);

  const AttentionModel& model_;
  const Stream& stream_;
  StepTimer& timer_;
  AttentionScratch scratch_;
  StepLayout layout_;
  StepEvents events_;
  ArenaBlock tiles_;      // (max_rows), of each layer where layers differ
  ArenaBlock row_tiles_;  // (max_rows)
  ArenaBlock positions_;  // (max_rows)
  ArenaBlock angles_;     // (ropes, max_rows, head_dim) float32
  ArenaBlock inv_freq_;   // (ropes, head_dim / 2) float64
  ArenaBlock queries_;    // (max_rows, q_size) in the compute type
  ArenaBlock merge_scratch_;
  PinnedMemory staging_;  // of tiles, positions and row_tiles
};

}  // namespace tovamill::cuda
