// The evictions of a step, on their way from the GPU to the host.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "kernels/backend.h"
#include "kernels/cuda/attention/step_layout.h"
#include "kernels/cuda/device/arena.h"
#include "kernels/cuda/device/runtime.h"
#include "kernels/cuda/state/attention_model.h"

namespace tovamill::cuda {

class StepEvents {
 public:
  StepEvents(const AttentionModel& model, Arena& arena);

  // A step is laid out; the events of the one before are forgotten.
  void begin_step(const StepLayout& layout);
  // (n_rows, n_eviction_groups) of a layer, in device memory.
  EventRecord* of(std::int32_t layer) const;
  // Starts the copy of what a decoding batch evicts in `layer`, where a tile evicts more than one
  // token: (n_tiles, n_eviction_groups, max_evictions).
  void keep_evictions(const TileBatch& batch, std::int32_t layer, const EventRecord* evictions,
                      const Stream& stream);
  // Starts the copy of the rest; `read` once the stream has come past it.
  void fetch(const Stream& stream);
  void read(const StepLayout& layout, std::int32_t layer, std::size_t block,
            BlockEvents& events) const;

  std::size_t size() const { return memory_.size(); }

 private:
  // Evictions of a batch after whose queries states are brought down to the cache size at once,
  // many tokens each: rare (StepBlock::keeps_all).
  struct BatchEvictions {
    std::int32_t layer, first_tile, n_tiles, max_evictions;
    PinnedMemory records;
  };
  std::size_t bytes(std::int32_t n_rows) const;
  void add_evictions(const StepLayout& layout, const BatchEvictions& batch, std::size_t block,
                     std::int32_t group, BlockEvents& events) const;

  const AttentionModel& model_;
  ArenaBlock memory_;
  PinnedMemory host_;
  std::int32_t n_rows_ = 0;
  std::vector<BatchEvictions> batch_evictions_;
};

}  // namespace tovamill::cuda
