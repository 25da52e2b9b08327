#include "tests/support/attention/step_script.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <random>

#include "engine/model/model_config.h"
#include "tests/support/attention/devices.h"

namespace tovamill::testing {
namespace {

constexpr std::int32_t kIds = 290;

std::int32_t id_at(std::int64_t position, std::size_t stream) {
  return static_cast<std::int32_t>(
      (position * 37 + position * position * 11 + static_cast<std::int64_t>(stream) * 101) % kIds);
}

// Writes a script; knows how many tokens states hold, which says what blocks they may take.
class Writer {
 public:
  Writer(const ScriptSetting& setting, std::uint32_t seed)
      : setting_(setting), random_(seed), held_(setting.n_streams, 0) {}

  ScriptedStep next() {
    ScriptedStep step;
    for (int i = 0; i < 2 && setting_.changes; ++i) {
      if (below(3) == 0) step.changes.push_back(change());
    }
    for (std::size_t s = 0; s < setting_.n_streams; ++s) {
      if (below(4) > 0 || (s + 1 == setting_.n_streams && step.blocks.empty()))
        step.blocks.push_back(block(s));
    }
    return step;
  }

 private:
  std::size_t below(std::size_t n) { return random_() % n; }

  StateChange change() {
    using Kind = StateChange::Kind;
    constexpr Kind kKinds[] = {Kind::reset, Kind::renew, Kind::copy, Kind::reload, Kind::read};
    const StateChange c{kKinds[below(5)], below(setting_.n_streams), below(setting_.n_streams)};
    if (c.kind == Kind::reset || c.kind == Kind::renew) held_[c.stream] = 0;
    if (c.kind == Kind::copy) held_[c.other] = held_[c.stream];
    return c;
  }

  ScriptedBlock block(std::size_t stream) {
    const bool is_bound = is_bounded(setting_.cache);
    std::int32_t& held = held_[stream];
    ScriptedBlock b{.stream = stream};
    b.keeps_all = is_bound && setting_.keeps_all && below(3) == 0;
    const bool is_grown = is_bound && held > setting_.cache.cache_size;
    if (below(2) == 0 && (!is_grown || b.keeps_all))
      b.n_tokens =
          1 + static_cast<std::int32_t>(below(static_cast<std::size_t>(setting_.max_tokens)));
    held += b.n_tokens;
    if (is_bound && !b.keeps_all) held = std::min(held, setting_.cache.cache_size);
    return b;
  }

  const ScriptSetting& setting_;
  std::mt19937 random_;
  std::vector<std::int32_t> held_;
};

}  // namespace

std::vector<ScriptedStep> random_script(const ScriptSetting& setting, std::uint32_t seed) {
  Writer writer(setting, seed);
  std::vector<ScriptedStep> script;
  for (std::size_t i = 0; i < setting.n_steps; ++i) script.push_back(writer.next());
  return script;
}

ScriptedModel::ScriptedModel(const std::string& path, DeviceKind device, BackendOptions options)
    : files_(ModelFiles::open(path, ModelFiles::Parts::weights_only)),
      config_(config_from_hf(files_->config(), path)),
      weights_(collect_weights(
          config_, [&](const std::string& name) { return files_->find_tensor(name); }, path)) {
  options.shape = config_.shape;
  options.max_rows = options.max_block = kMaxRows;
  if (options.device_bytes == 0) options.device_bytes = kTestDeviceBytes;
  backend_ = make_backend(device, options);
  model_ = pack_model(config_, weights_, backend_->device());
  forward_ = std::make_unique<Forward>(model_, *backend_, kMaxRows, kMaxBlocks, kMaxRows);
}

void ScriptedModel::read(const StreamState& state, ScriptResult& result) {
  const auto all = backend_->read_all_positions(state);
  const auto groups = all.size() / static_cast<std::size_t>(config_.shape.n_layers);
  for (std::size_t i = 0; i < all.size(); ++i) {
    EXPECT_EQ(all[i], backend_->read_positions(state, static_cast<std::int32_t>(i / groups),
                                               static_cast<std::int32_t>(i % groups)));
    result.positions.insert(result.positions.end(), all[i].begin(), all[i].end());
  }
}

void ScriptedModel::change(const StateChange& c, States& states, ScriptResult& result) {
  std::unique_ptr<StreamState>& state = states[c.stream];
  switch (c.kind) {
    case StateChange::Kind::reset:
      return backend_->reset(*state);
    case StateChange::Kind::renew:
      state.reset();
      state = backend_->make_state();
      return;
    case StateChange::Kind::copy:
      return backend_->copy(*state, *states[c.other]);
    case StateChange::Kind::reload: {
      std::vector<std::byte> bytes;
      backend_->save(*state, bytes);
      state.reset();
      state = backend_->make_state();
      backend_->load(*state, bytes);
      return;
    }
    case StateChange::Kind::read:
      return read(*state, result);
  }
}

void ScriptedModel::submit(const ScriptedStep& step, const States& states, ScriptResult& result) {
  std::vector<StepBlock> blocks;
  std::vector<std::int32_t> ids, targets, logit_rows;
  for (const ScriptedBlock& b : step.blocks) {
    StreamState* state = states[b.stream].get();
    const std::int64_t position = backend_->n_tokens(*state);
    blocks.push_back({.state = state,
                      .first_row = static_cast<std::int32_t>(ids.size()),
                      .n_tokens = b.n_tokens,
                      .position = position,
                      .keeps_all = b.keeps_all});
    for (std::int64_t i = position; i < position + b.n_tokens; ++i) {
      ids.push_back(id_at(i, b.stream));
      targets.push_back(id_at(i + 1, b.stream));
    }
    logit_rows.push_back(static_cast<std::int32_t>(ids.size()) - 1);
  }
  forward_->submit({.blocks = blocks,
                    .ids = ids,
                    .targets = targets,
                    .logit_rows = logit_rows,
                    .take_logits = [&result](std::size_t, std::span<float> logits) {
                      result.logits.insert(result.logits.end(), logits.begin(), logits.end());
                    }});
}

void ScriptedModel::collect(ScriptResult& result) {
  const StepOutput out = forward_->collect();
  result.nll.insert(result.nll.end(), out.nll.begin(), out.nll.end());
  for (const BlockEvents& e : out.events) {
    result.attended.push_back(e.n_attended);
    for (const Eviction& x : e.evictions) {
      result.events.insert(result.events.end(), {x.position, x.step, x.group});
      result.weights.push_back(x.weight);
    }
  }
}

// Before each step, as few steps are collected as must be.
ScriptResult ScriptedModel::run(const std::vector<ScriptedStep>& script, std::size_t n_streams) {
  ScriptResult result;
  States states;
  for (std::size_t s = 0; s < n_streams; ++s) states.push_back(backend_->make_state());
  std::int32_t n_in_flight = 0;
  for (const ScriptedStep& step : script) {
    for (const StateChange& c : step.changes) change(c, states, result);
    if (n_in_flight == forward_->max_in_flight()) {
      collect(result);
      --n_in_flight;
    }
    submit(step, states, result);
    ++n_in_flight;
  }
  for (; n_in_flight > 0; --n_in_flight) collect(result);
  for (const auto& state : states) {
    read(*state, result);
    backend_->save(*state, result.states);
  }
  return result;
}

}  // namespace tovamill::testing
