#include "workers/stages/staged_model.h"

#include <algorithm>
#include <chrono>

#include "kernels/types/error.h"
#include "workers/stages/staged_state.h"

namespace tovamill {

StagedModel::StagedModel(const Model& model, const std::vector<LayerRange>& stages,
                         Backend& backend, Forward& forward, PipelineDriver& driver,
                         std::int32_t n_eviction_groups)
    : model_(model),
      stages_(stages),
      backend_(backend),
      forward_(forward),
      driver_(driver),
      n_eviction_groups_(n_eviction_groups) {}

void StagedModel::submit(const StepInput& input) {
  if (in_flight_.size() == static_cast<std::size_t>(max_in_flight()))
    throw Error(ExitCode::internal, "more steps are in flight than the stages take");
  collected_.clear();
  if (n_own_ == forward_.max_in_flight()) collect_own();
  std::vector<StepBlock> here(input.blocks.begin(), input.blocks.end());
  for (StepBlock& b : here) b.state = cast(*b.state).here.get();
  const auto start = std::chrono::steady_clock::now();
  forward_.submit({.blocks = here, .ids = input.ids});
  driver_.measured(std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count());
  ++n_own_;

  StageStep sent;
  Step step;
  for (const StepBlock& b : input.blocks) {
    State& state = cast(*b.state);
    sent.blocks.push_back({.state = state.number, .block = b});
    step.states.push_back(&state);
    step.changes.push_back(++state.n_changes);
    step.asks_positions.push_back(b.asks_positions);
  }
  sent.n_rows = static_cast<std::int32_t>(input.ids.size());
  sent.targets.assign(input.targets.begin(), input.targets.end());
  sent.logit_rows.assign(input.logit_rows.begin(), input.logit_rows.end());
  sent.argmax_rows.assign(input.argmax_rows.begin(), input.argmax_rows.end());
  const std::vector<std::byte> rows = forward_.transfer().take_message();
  sent.rows = rows;
  step.n_rows = input.ids.size();
  step.n_logits = input.logit_rows.size();
  step.take_logits = input.take_logits;
  step.n_argmax = input.argmax_rows.size();
  step.take_argmax = input.take_argmax;
  step.number = driver_.send(std::move(sent));
  in_flight_.push_back(std::move(step));
}

// Ends the oldest step on this stage's device.
void StagedModel::collect_own() {
  Step& step = in_flight_[in_flight_.size() - static_cast<std::size_t>(n_own_)];
  --n_own_;
  const StepOutput output = forward_.collect();
  step.events.assign(output.events.begin(), output.events.end());
  step.has_own_events = true;
}

void StagedModel::collect_all_own() {
  while (n_own_ > 0) collect_own();
}

StepOutput StagedModel::collect() {
  if (in_flight_.empty()) throw Error(ExitCode::internal, "no step is in flight");
  if (!in_flight_.front().has_own_events) collect_own();
  collected_.push_back(std::move(in_flight_.front()));
  in_flight_.pop_front();
  Step& step = collected_.back();
  merge_answers(step);
  return {.nll = step.nll, .events = step.events, .n_blocks = step.states.size()};
}

void StagedModel::merge_answers(Step& step) {
  std::vector<StageStepDone> done;
  for (const std::vector<std::byte>& bytes : driver_.wait_for(step.number))
    done.push_back(unpack_step_done(bytes));
  const std::size_t n_blocks = step.states.size();
  for (std::size_t s = 0; s < done.size(); ++s) {
    if (done[s].events.size() != static_cast<std::size_t>(stages_[s + 1].n) * n_blocks ||
        done[s].positions.size() != n_blocks)
      throw Error(ExitCode::internal, "a stage has answered for other layers or blocks");
    step.events.insert(step.events.end(), std::make_move_iterator(done[s].events.begin()),
                       std::make_move_iterator(done[s].events.end()));
  }
  for (std::size_t b = 0; b < n_blocks; ++b) {
    if (!step.asks_positions[b]) continue;
    std::vector<const HeldPositions*> by_stage;
    for (const StageStepDone& d : done) by_stage.push_back(&d.positions[b]);
    learn_positions(step, b, by_stage);
  }
  StageStepDone& last = done.back();
  step.nll = std::move(last.nll);
  if (step.nll.empty()) step.nll.assign(step.n_rows, 0.0f);
  const auto vocab = static_cast<std::size_t>(model_.config.shape.vocab_size);
  if (step.nll.size() != step.n_rows || last.logits.size() != step.n_logits * vocab ||
      last.argmax.size() != step.n_argmax)
    throw Error(ExitCode::internal, "the last stage has answered for other rows");
  for (std::size_t i = 0; i < step.n_logits; ++i)
    step.take_logits(i, std::span(last.logits).subspan(i * vocab, vocab));
  for (std::size_t i = 0; i < step.n_argmax; ++i) step.take_argmax(i, last.argmax[i]);
}

}  // namespace tovamill
