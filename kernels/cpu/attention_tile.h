// The unit of work of attention, for the attention*.cc files only.
#pragma once

#include "kernels/cpu/attention.h"

namespace tovamill::cpu {

constexpr std::int32_t kPartRows = 96;  // rows of a part: 16 register blocks of 6
constexpr std::int32_t kPanelRows =
    12;  // rows that are masked at a time before they meet the values

inline std::int64_t pad_columns(std::int64_t n) {
  return (n + kColumnPad - 1) / kColumnPad * kColumnPad;
}

// Consecutive queries of one stream, at most `tile_`, within one group of 256.
struct Attention::Tile {
  CpuState* state;
  Slot* slot;
  std::int32_t first_row;  // of the step
  std::int32_t n_steps;
  std::int64_t position;  // of the first query in its stream
  std::int32_t n_state;   // columns before the tile joined
  std::int32_t ld;        // padded columns after
  std::int32_t pin;       // positions below never leave
  bool keeps_all;         // StepBlock::keeps_all
  std::int32_t n_columns() const { return n_state + n_steps; }
};

inline StepBlock block_of(const auto& tile) { return {.pin = tile.pin}; }

}  // namespace tovamill::cpu
