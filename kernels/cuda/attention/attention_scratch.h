// Memory that the tiles of a wave work in, one slot each: scores, deaths, sums, moves. As many
// slots as a step may have tiles, within a bound; a wave is as many tiles as have one.
#pragma once

#include <cstdint>

#include "kernels/cuda/attention/attention_kernels.h"
#include "kernels/cuda/device/arena.h"
#include "kernels/cuda/state/attention_model.h"

namespace tovamill::cuda {

class AttentionScratch {
 public:
  AttentionScratch(const AttentionModel& model, Arena& arena);

  // Room for a slot at least with states of `n_columns`. Nothing may be in flight in it. Throws
  // OutOfMemory; it is as large as before then.
  void make_room(std::int64_t n_columns);
  // Bytes it has, and would have after make_room.
  std::size_t size() const { return memory_.size(); }
  std::size_t size_for(std::int64_t n_columns) const;
  const void* data() const { return memory_.data(); }

  // Whether so many tiles with states of `n_columns` at the most go side by side.
  bool holds_tiles(std::int64_t n_tiles, std::int64_t n_columns) const;
  bool holds_singles(std::int64_t n_tiles, std::int64_t n_columns) const;

  // Slots of `n_tiles`; `partial` is what the scan takes of it (ScanArguments).
  WaveScratch tiles(std::int64_t n_tiles, std::int64_t n_columns, float*& partial) const;
  // The slots of blocks of one token.
  template <class T>
  void give_singles(std::int64_t n_tiles, std::int64_t n_columns, DecodeArguments<T>& a) const;

 private:
  std::int64_t joining_bytes() const;
  std::int64_t slot_bytes(std::int64_t ld) const;
  std::int64_t single_bytes(std::int64_t ld) const;
  std::int64_t bytes(std::int64_t n_columns) const;

  const AttentionModel& model_;
  Arena& arena_;
  ArenaBlock memory_;
  std::int64_t n_columns_ = 0;  // for which there is a slot at least
};

}  // namespace tovamill::cuda
