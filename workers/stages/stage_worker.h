// A stage behind the first: takes steps from the stage before, runs its layers, hands the hidden
// rows on or computes what the head gives, and keeps the states of its layers as stage 0 orders.
#pragma once

#include <cstdint>
#include <deque>
#include <map>
#include <memory>
#include <vector>

#include "engine/model/forward.h"
#include "workers/stages/stage_channel.h"
#include "workers/stages/stage_messages.h"

namespace tovamill {

class StageWorker {
 public:
  // All outlive the object, the channel of `place` as well. `forward` runs `model` on `backend`.
  StageWorker(const Model& model, Backend& backend, Forward& forward, const StagePlace& place);

  // Until stage 0 has no more to do. Stage 0 is told where memory is at its end or a saved state
  // cannot be loaded; anything else is thrown, StageLost among it.
  void serve();

 private:
  struct InFlight {
    StageStep step;
    std::vector<StepBlock> blocks;
    std::vector<float> logits;         // (logit_rows, vocab_size)
    std::vector<std::int32_t> argmax;  // (argmax_rows)
  };
  void handle(const StageMessage& m);
  void submit(const Message& m);
  void collect();
  void link(const StateOrder& order);
  void execute(const StateOrder& order);
  std::vector<std::byte> answer_to(const StateOrder& order);
  StreamState& state(std::uint64_t number);
  void send_on(Message message);
  void answer(std::uint64_t number, std::span<const std::byte> bytes);
  void answer_failed(std::uint64_t number, const Error& error, bool is_out_of_memory);

  const Model& model_;
  Backend& backend_;
  Forward& forward_;
  const StagePlace place_;
  StageChannel& channel_;
  bool is_over_ = false;
  std::map<std::uint64_t, std::unique_ptr<StreamState>> states_;  // by number
  std::deque<InFlight> in_flight_;                                // the oldest first
  std::vector<std::int32_t> no_ids_;                              // (n_rows), all 0
};

}  // namespace tovamill
