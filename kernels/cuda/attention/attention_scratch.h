// Memory that the tiles of a batch work in: scores, eviction steps, sums, moves. It holds as many
// tiles as a step may have, within a bound; a tile batch is as many as it holds.
#pragma once

#include <cstdint>

#include "kernels/cuda/attention/attention_kernels.h"
#include "kernels/cuda/device/arena.h"
#include "kernels/cuda/state/attention_model.h"

namespace tovamill::cuda {

class AttentionScratch {
 public:
  AttentionScratch(const AttentionModel& model, Arena& arena);

  // Room for one tile at least of `n_slots` slots. Nothing may be in flight in it. Throws
  // OutOfMemory; it is as large as before then.
  void make_room(std::int64_t n_slots);
  // Bytes it has, and would have after make_room.
  std::size_t size() const { return memory_.size(); }
  std::size_t size_for(std::int64_t n_slots) const;
  const void* data() const { return memory_.data(); }

  // Whether so many tiles of `n_slots` slots at the most go side by side.
  bool holds_tiles(std::int64_t n_tiles, std::int64_t n_slots) const;
  bool holds_decode_tiles(std::int64_t n_tiles, std::int64_t n_slots) const;

  // Scratch of `n_tiles` tiles; `partial` is EvictionScanArguments::partial.
  TileScratch tiles(std::int64_t n_tiles, std::int64_t n_slots, float*& partial) const;
  // The same of blocks of one token, into `a`.
  template <class T>
  void give_decode_tiles(std::int64_t n_tiles, std::int64_t n_slots, DecodeArguments<T>& a) const;

 private:
  std::int64_t appended_bytes() const;
  std::int64_t tile_bytes(std::int64_t ld) const;
  std::int64_t decode_tile_bytes(std::int64_t ld) const;
  std::int64_t bytes(std::int64_t n_slots) const;

  const AttentionModel& model_;
  Arena& arena_;
  ArenaBlock memory_;
  std::int64_t n_slots_ = 0;  // for which a tile fits at least
};

}  // namespace tovamill::cuda
