// Attention of a step's blocks over their bounded states on a GPU
// (kernels/README.md, "Evictions" to "Positions"), in a lane: a
// tile (step_layout.h) joins the state, is scored against all of it, scanned for deaths, multiplied
// with the values, and the survivors move together. Blocks of one token take a way of their own
// (attention_decode.cu).
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

  // Before begin_step, for a state that will hold `n_columns`. Throws OutOfMemory.
  void make_room(std::int64_t n_columns) { scratch_.make_room(n_columns); }
  // Lays out the step, takes the states to where they will be after it, and brings its tiles to the
  // device. The last step of the lane must be finished.
  void begin_step(std::span<const StepBlock> blocks, std::int32_t n_rows);
  // qkv (n_rows, q_size + 2 kv_size) float32; out (n_rows, q_size) in the compute type; norms
  // (head_dim) or null.
  void run(std::int32_t layer, const float* q_norm, const float* k_norm, const float* qkv,
           void* out);
  // Puts what left the states on its way to the host; afterwards, once the stream has come past
  // it, what block `block` left in `layer`.
  void fetch_events() { events_.fetch(stream_); }
  void read_events(std::int32_t layer, std::size_t block, BlockEvents& events) const {
    events_.read(layout_, layer, block, events);
  }

  const StepLayout& layout() const { return layout_; }
  const AttentionScratch& scratch() const { return scratch_; }
  std::size_t workspace_bytes() const;
  // The same once a state has held `n_columns`.
  std::size_t workspace_bytes_for(std::int64_t n_columns) const;

 private:
  void upload();
  template <class T>
  void run_wave(const Wave& wave, std::int32_t layer, const float* q_norm, const float* k_norm,
                const float* qkv, T* out);
  template <class T>
  void run_tiles(const Wave& wave, const WaveScratch& s, float* partial, std::int32_t layer,
                 T* out);
  template <class T>
  void run_singles(const Wave& wave, std::int32_t layer, T* out);

  const AttentionModel& model_;
  const Stream& stream_;
  StepTimer& timer_;
  AttentionScratch scratch_;
  StepLayout layout_;
  StepEvents events_;
  ArenaBlock tiles_;      // (max_rows)
  ArenaBlock row_tiles_;  // (max_rows)
  ArenaBlock positions_;  // (max_rows)
  ArenaBlock angles_;     // (max_rows, head_dim) float32
  ArenaBlock inv_freq_;   // (head_dim / 2) float64
  ArenaBlock queries_;    // (max_rows, q_size) in the compute type
  PinnedMemory staging_;  // of tiles, positions and row_tiles
};

}  // namespace tovamill::cuda
