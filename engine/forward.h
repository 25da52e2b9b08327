// The forward step: a block of each of several streams through all layers, down to each token's
// negative log-likelihood.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <vector>

#include "engine/model.h"
#include "kernels/backend.h"

namespace tovamill {

// One step's input: rows of all blocks one after another.
struct StepInput {
  std::span<const StepBlock> blocks;
  std::span<const std::int32_t> ids;  // (n_rows)
  std::span<const std::int32_t>
      targets;  // (n_rows) the token that follows each, -1 where nothing is scored
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

  StepOutput run(const StepInput& input);
  std::uint64_t buffer_bytes() const { return buffer_bytes_; }

 private:
  std::unique_ptr<Buffer> make(std::int32_t n_cols, BufferType type);

  const Model& model_;
  Backend& backend_;
  std::int32_t max_rows_;
  std::uint64_t buffer_bytes_ = 0;
  std::unique_ptr<Buffer> hidden_;    // (max_rows, hidden_size)
  std::unique_ptr<Buffer> normed_;    // (max_rows, hidden_size)
  std::unique_ptr<Buffer> qkv_;       // (max_rows, q_size + 2 kv_size)
  std::unique_ptr<Buffer> attended_;  // (max_rows, q_size)
  std::unique_ptr<Buffer> gated_;     // (max_rows, intermediate_size)
  std::vector<float> nll_;
  std::vector<BlockEvents> events_;
};

}  // namespace tovamill
