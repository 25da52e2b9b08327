// The forward step: a block of each of several streams through all layers, down to each token's
// negative log-likelihood.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <span>
#include <vector>

#include "engine/model.h"
#include "kernels/backend.h"

namespace tovamill {

// Rows whose logits exist at one time (design 3.5).
inline constexpr std::int32_t kLogitRows = 32;

// One step's input: rows of all blocks one after another.
struct StepInput {
  std::span<const StepBlock> blocks;
  std::span<const std::int32_t> ids;  // (n_rows)
  // (n_rows) the token that follows each, -1 where nothing is scored; empty where nothing is at
  // all.
  std::span<const std::int32_t> targets = {};
  // Rows of the step, ascending, whose next token's logits are wanted, and who takes them: called
  // in order of i, the index into logit_rows, with vocab_size logits that it may overwrite. They
  // are valid during the call only.
  std::span<const std::int32_t> logit_rows = {};
  std::function<void(std::size_t i, std::span<float> logits)> take_logits = {};
};

// Valid until the next step.
struct StepOutput {
  std::span<const float> nll;  // (n_rows) nats; 0 where nothing is scored
  // (n_layers, n_blocks)
  std::span<const BlockEvents> events;
  std::size_t n_blocks = 0;
  const BlockEvents& at(std::size_t layer, std::size_t block) const {
    return events[layer * n_blocks + block];
  }
};

class Forward {
 public:
  // `max_rows` and `max_blocks` of a step; `max_block` tokens of one stream in it.
  Forward(const Model& model, Backend& backend, std::int32_t max_rows, std::int32_t max_blocks,
          std::int32_t max_block);

  // Allocates nothing but the logits' block, in the first step that wants logits.
  StepOutput run(const StepInput& input);
  std::uint64_t buffer_bytes() const { return buffer_bytes_; }  // the logits' block included

 private:
  std::unique_ptr<Buffer> make(std::int32_t n_cols, BufferType type);
  void run_layers(const StepInput& input);
  std::size_t n_logit_rows() const {
    return static_cast<std::size_t>(std::min(kLogitRows, max_rows_));
  }
  void read_logits(const StepInput& input);

  const Model& model_;
  Backend& backend_;
  std::int32_t max_rows_, max_blocks_;
  std::uint64_t buffer_bytes_ = 0;
  std::unique_ptr<Buffer> hidden_;    // (max_rows, hidden_size)
  std::unique_ptr<Buffer> normed_;    // (max_rows, hidden_size)
  std::unique_ptr<Buffer> qkv_;       // (max_rows, q_size + 2 kv_size)
  std::unique_ptr<Buffer> attended_;  // (max_rows, q_size)
  std::unique_ptr<Buffer> gated_;     // (max_rows, intermediate_size)
  std::vector<float> nll_;
  std::vector<float> logits_;  // (kLogitRows, vocab_size), or fewer rows where a step has fewer
  std::vector<BlockEvents> events_;
};

}  // namespace tovamill
