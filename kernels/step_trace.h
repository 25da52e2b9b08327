// Where the time of a step goes on a GPU, by events between its parts.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>

namespace tovamill {

enum class StepPart : std::uint8_t {
  gemm,    // the dense layers, biases included
  scores,  // queries times keys
  scan,    // the policy's decisions
  values,  // softmax and the product with the values
  decode,  // attention and decision of blocks of one token
  states,  // appending, rotating, evicting, compacting
  rows,    // norms, activation, embedding
  head,    // logits and likelihoods
};
inline constexpr std::size_t kStepParts = 8;

struct StepTrace {
  std::array<double, kStepParts> part_seconds{};  // by StepPart, of all steps and layers
  double busy_seconds = 0.0;  // from the first to the last launch of each step, summed, and of
                              // logits that are read between steps
  double gap_seconds = 0.0;   // in which none was in flight on the device, between them
  std::uint64_t n_steps = 0;
};

}  // namespace tovamill
