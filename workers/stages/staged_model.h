// A model whose layers are cut into stages, as stage 0 sees it: its own layers, and behind a
// channel the others'. Steps stream through the stages, so that all of them compute at once; the
// numbers are those of one device, bit for bit, and so are the bytes of saved states.
#pragma once

#include <cstdint>
#include <deque>
#include <map>
#include <memory>
#include <vector>

#include "engine/model/forward.h"
#include "engine/model/step_runner.h"
#include "kernels/activation_transfer.h"
#include "kernels/state_keeper.h"
#include "workers/stages/pipeline_driver.h"

namespace tovamill {

class StagedModel final : public StepRunner, public StateKeeper {
 public:
  // `forward` runs stage 0's layers, `model`, on `backend`; `stages` is the cut of all. All outlive
  // the object, and the object all of its states.
  StagedModel(const Model& model, const std::vector<LayerRange>& stages, Backend& backend,
              Forward& forward, PipelineDriver& driver, std::int32_t n_eviction_groups);

  // --- StepRunner

  // One that each stage computes, and one that waits.
  std::int32_t max_in_flight() const override { return driver_.n_stages() + 1; }
  std::int32_t n_stages() const override { return driver_.n_stages(); }
  void submit(const StepInput& input) override;
  StepOutput collect() override;
  std::uint64_t buffer_bytes() const override { return forward_.buffer_bytes(); }

  // --- StateKeeper: sizes are those of this rank

  std::unique_ptr<StreamState> make_state() override;
  std::uint64_t state_bytes() const override { return backend_.state_bytes(); }
  std::uint64_t state_bytes_for(std::int64_t n_tokens, bool keeps_all) const override {
    return backend_.state_bytes_for(n_tokens, keeps_all);
  }
  std::uint64_t workspace_bytes() const override { return backend_.workspace_bytes(); }
  // Grows by what it grows in the stage where that is most beside the states.
  std::uint64_t workspace_bytes_for(std::int64_t n_tokens, bool keeps_all) const override;
  void reset(StreamState& state) override;
  void reserve(StreamState& state, std::int64_t n_tokens, bool keeps_all) override;
  void copy(const StreamState& from, StreamState& to) override;
  std::int64_t n_tokens(const StreamState& state) const override;
  void save(const StreamState& state, std::vector<std::byte>& out) const override;
  std::int64_t load(StreamState& state, std::span<const std::byte> bytes) override;
  std::vector<std::int32_t> read_positions(const StreamState& state, std::int32_t layer,
                                           std::int32_t group) const override;
  std::vector<std::vector<std::int32_t>> read_all_positions(
      const StreamState& state) const override;

 private:
  struct State;
  struct Step {
    std::uint64_t number = 0;
    std::vector<State*> states;          // by block
    std::vector<std::uint64_t> changes;  // State::n_changes behind the block
    std::vector<bool> asks_positions;    // by block
    std::size_t n_rows = 0, n_logits = 0;
    std::function<void(std::size_t i, std::span<float> logits)> take_logits;
    std::size_t n_argmax = 0;
    std::function<void(std::size_t i, std::int32_t id)> take_argmax;
    bool has_own_events = false;
    std::vector<BlockEvents> events;  // (layers of all stages, blocks)
    std::vector<float> nll;           // (n_rows)
  };
  void collect_own();
  void collect_all_own();
  void merge_answers(Step& step);
  void learn_positions(const Step& step, std::size_t block,
                       const std::vector<const HeldPositions*>& by_stage);
  void ask_positions(const State& state) const;
  const State& cast(const StreamState& state) const;
  State& cast(StreamState& state) const;

  const Model& model_;
  const std::vector<LayerRange> stages_;
  Backend& backend_;
  Forward& forward_;
  PipelineDriver& driver_;
  const std::int32_t n_eviction_groups_;
  std::uint64_t n_states_ = 0;  // made so far
  std::deque<Step> in_flight_;  // the oldest first
  std::deque<Step> collected_;  // since the last submit
  std::int32_t n_own_ = 0;      // steps in flight on this stage's device: the youngest
};

}  // namespace tovamill
