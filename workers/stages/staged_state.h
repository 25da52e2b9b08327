// The state of a stream through all stages: that of stage 0's layers, and the number by which the
// other stages know theirs. Included by staged_model*.cc only.
#pragma once

#include <cstdint>
#include <memory>

#include "workers/stages/staged_model.h"

namespace tovamill {

struct StagedModel::State final : StreamState {
  State(PipelineDriver& driver, std::uint64_t number) : driver(driver), number(number) {}
  ~State() override {
    try {
      driver.tell({.kind = StageKind::release, .state = number});
    } catch (const Error&) {
      // The others are gone, and what they kept with them.
    }
  }

  PipelineDriver& driver;
  const std::uint64_t number;
  std::unique_ptr<StreamState> here;
  std::uint64_t n_changes = 0;  // blocks, resets and the like so far
  // What the other stages hold, of all their layers, as it was after so many changes.
  mutable HeldPositions positions;
  mutable std::uint64_t known_at = ~std::uint64_t{0};
};

}  // namespace tovamill
