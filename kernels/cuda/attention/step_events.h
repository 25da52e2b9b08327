// What leaves the states in a step, on its way from the GPU to the host.
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

  // Of a step that is laid out; whatever was there is forgotten.
  void begin_step(const StepLayout& layout);
  // (n_rows, n_eviction_groups) of a layer, in device memory.
  EventRecord* of(std::int32_t layer) const;
  // Puts what a wave of single tokens drops in `layer` on its way, where a tile drops more than
  // one: (n_tiles, n_eviction_groups, max_drops).
  void keep_drops(const Wave& wave, std::int32_t layer, const EventRecord* drops,
                  const Stream& stream);
  // Puts the rest on its way; `read` once the stream has come past it.
  void fetch(const Stream& stream);
  void read(const StepLayout& layout, std::int32_t layer, std::size_t block,
            BlockEvents& events) const;

  std::size_t size() const { return memory_.size(); }

 private:
  // States that are brought down at once lose many tokens after one query: rare.
  struct Drops {
    std::int32_t layer, first_tile, n_tiles, max_drops;
    PinnedMemory records;
  };
  std::size_t bytes(std::int32_t n_rows) const;
  void add_drops(const StepLayout& layout, const Drops& drops, std::size_t block,
                 std::int32_t group, BlockEvents& events) const;

  const AttentionModel& model_;
  ArenaBlock memory_;
  PinnedMemory host_;
  std::int32_t n_rows_ = 0;
  std::vector<Drops> drops_;
};

}  // namespace tovamill::cuda
