// What takes steps through a model, several of them in flight at once: one device (Forward), or
// consecutive layers on several ranks.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <span>

#include "kernels/backend.h"

namespace tovamill {

// One step's input: rows of all blocks one after another.
struct StepInput {
  std::span<const StepBlock> blocks;
  // (n_rows). Layers behind a model's first take hidden rows instead, and of these only their
  // number counts.
  std::span<const std::int32_t> ids;
  // (n_rows) the token that follows each, -1 where nothing is scored; empty where nothing is at
  // all.
  std::span<const std::int32_t> targets = {};
  // Rows of the step, ascending, whose next token's logits are wanted, and who takes them: called
  // in order of i, the index into logit_rows, with vocab_size logits that it may overwrite. They
  // are valid during the call only.
  std::span<const std::int32_t> logit_rows = {};
  std::function<void(std::size_t i, std::span<float> logits)> take_logits = {};
  // Other rows, ascending, of which only the id of the highest logit is wanted, the first of equal
  // ones, -1 where all are NaN; and who takes it, in order of i, after the logits.
  std::span<const std::int32_t> argmax_rows = {};
  std::function<void(std::size_t i, std::int32_t id)> take_argmax = {};
};

// Valid until the next `submit`.
struct StepOutput {
  std::span<const float> nll;  // (n_rows) nats; 0 where nothing is scored
  // (n_layers, n_blocks)
  std::span<const BlockEvents> events;
  std::size_t n_blocks = 0;
  const BlockEvents& at(std::size_t layer, std::size_t block) const {
    return events[layer * n_blocks + block];
  }
};

class StepRunner {
 public:
  virtual ~StepRunner() = default;

  // Steps that may be submitted before the first of them is collected, at least 1. Blocks of one
  // stream may be in several of them, in their order.
  virtual std::int32_t max_in_flight() const = 0;
  // Devices that a step goes through one after another, at least 1: so many steps of different
  // streams keep all of them at work.
  virtual std::int32_t n_stages() const { return 1; }
  // Puts a step on its way; what `input` refers to is copied, but for the states. Throws as
  // Backend::begin_step does, Error(internal) where max_in_flight() are.
  virtual void submit(const StepInput& input) = 0;
  // Waits for the oldest step and hands its logits to who takes them. Between submit and collect of
  // a step its states may be used by later steps only.
  virtual StepOutput collect() = 0;
  // Host and device memory of activations, the logits' block included.
  virtual std::uint64_t buffer_bytes() const = 0;

  StepOutput run(const StepInput& input) {
    submit(input);
    return collect();
  }
};

}  // namespace tovamill
