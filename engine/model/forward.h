// The forward step on one device: a block of each of several streams through all layers, down to
// each token's negative log-likelihood; or through some consecutive layers, from hidden rows or to
// hidden rows.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <memory>
#include <string>
#include <vector>

#include "engine/model/layer_step.h"
#include "engine/model/model.h"
#include "engine/model/step_runner.h"
#include "kernels/activation_transfer.h"
#include "kernels/backend.h"

namespace tovamill {

// Rows whose logits exist at one time (kernels/README.md, "Perplexity").
inline constexpr std::int32_t kLogitRows = 32;

class Forward final : public StepRunner {
 public:
  // `max_rows` and `max_blocks` of a step; `max_block` tokens of one stream in it.
  // Hidden rows of a model without the embedding or without the head come and go in messages.
  Forward(const Model& model, Backend& backend, std::int32_t max_rows, std::int32_t max_blocks,
          std::int32_t max_block);

  // Rows go from device to device from now on; before any step. Empty, or why they cannot. Waits
  // for the stages before and behind, for a time; throws StageLost where the line is closed
  // meanwhile.
  std::string link(ActivationLinksPlace place);
  // In messages again; before any step.
  void unlink();
  // Of a model without the embedding or without the head.
  ActivationTransfer& transfer() { return *transfer_; }

  std::int32_t max_in_flight() const override { return backend_.n_in_flight(); }
  void submit(const StepInput& input) override;
  // Allocates nothing but the logits' block, in the first step that wants logits.
  StepOutput collect() override;
  std::uint64_t buffer_bytes() const override { return buffer_bytes_; }

 private:
  // What a step has of its own from its beginning to its end.
  struct InFlight {
    InFlight(const ModelShape& shape, Device& device, std::int32_t max_rows)
        : rows(shape, device, max_rows), nll(static_cast<std::size_t>(max_rows)) {}
    LayerBuffers rows;
    std::vector<float> nll;           // (max_rows)
    std::vector<BlockEvents> events;  // (n_layers, max_blocks)
    // Of the step that is in flight.
    std::size_t n_rows = 0, n_blocks = 0;
    std::vector<std::int32_t> logit_rows;
    std::function<void(std::size_t i, std::span<float> logits)> take_logits;
    std::vector<std::int32_t> argmax_rows;
    std::function<void(std::size_t i, std::int32_t id)> take_argmax;
  };
  void make_in_flight(std::int32_t max_block);
  void run_layers(const StepInput& input, InFlight& in_flight);
  void run_head(const StepInput& input, InFlight& in_flight);
  std::size_t n_logit_rows() const {
    return static_cast<std::size_t>(std::min(kLogitRows, max_rows_));
  }
  template <class Take>
  void read_logits(InFlight& in_flight, std::span<const std::int32_t> rows, Take&& take);
  void read_argmax(InFlight& in_flight);

  const Model& model_;
  ModelShape shape_;  // of its layers
  Backend& backend_;
  // Outlives the buffers that rows leave from; null for a whole model.
  std::unique_ptr<ActivationTransfer> transfer_;
  std::int32_t max_rows_, max_blocks_;
  std::uint64_t buffer_bytes_ = 0;
  std::vector<InFlight> in_flight_;  // taken in turn
  std::size_t next_ = 0;             // of in_flight_, for the next step
  std::size_t n_in_flight_ = 0;      // the steps before next_
  std::vector<float> logits_;  // (kLogitRows, vocab_size), or fewer rows where a step has fewer
  std::vector<std::int32_t> argmax_;  // by row that it is wanted of
};

}  // namespace tovamill
