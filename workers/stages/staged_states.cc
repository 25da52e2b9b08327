// The states of a staged model: every change is ordered of the other stages as well, behind the
// steps that were sent before.
#include <algorithm>
#include <cstring>

#include "kernels/saved_state.h"
#include "kernels/types/error.h"
#include "workers/stages/staged_state.h"

namespace tovamill {

const StagedModel::State& StagedModel::cast(const StreamState& state) const {
  return static_cast<const State&>(state);
}
StagedModel::State& StagedModel::cast(StreamState& state) const {
  return static_cast<State&>(state);
}

std::unique_ptr<StreamState> StagedModel::make_state() {
  auto state = std::make_unique<State>(driver_, ++n_states_);
  state->here = backend_.make_state();
  driver_.ask({.kind = StageKind::make, .state = state->number});
  return state;
}

// A budget of this rank's bytes stands for the whole group: a stage of fewer layers has so much
// less for its states, but as much to spare for what its workspace grows.
std::uint64_t StagedModel::workspace_bytes_for(std::int64_t n_tokens, bool keeps_all) const {
  const std::uint64_t first = backend_.workspace_bytes(),
                      grown = backend_.workspace_bytes_for(n_tokens, keeps_all) - first;
  std::int32_t fewest = model_.range.n;
  for (const LayerRange& s : stages_) fewest = std::min(fewest, s.n);
  const auto here = static_cast<std::uint64_t>(model_.range.n),
             there = static_cast<std::uint64_t>(fewest);
  return first + (grown * here + there - 1) / there;
}

void StagedModel::reset(StreamState& state) {
  State& s = cast(state);
  ++s.n_changes;
  backend_.reset(*s.here);
  driver_.tell({.kind = StageKind::reset, .state = s.number});
}

// Where no room is needed beyond what every state has, nobody is asked: the answer would come
// behind all steps that are in flight.
void StagedModel::reserve(StreamState& state, std::int64_t n_tokens, bool keeps_all) {
  State& s = cast(state);
  collect_all_own();
  backend_.reserve(*s.here, n_tokens, keeps_all);
  if (state_bytes_for(n_tokens, keeps_all) == state_bytes_for(0, false)) return;
  driver_.ask({.kind = StageKind::reserve,
               .state = s.number,
               .n_tokens = n_tokens,
               .keeps_all = keeps_all});
}

void StagedModel::copy(const StreamState& from, StreamState& to) {
  State& s = cast(to);
  ++s.n_changes;
  collect_all_own();
  backend_.copy(*cast(from).here, *s.here);
  driver_.ask({.kind = StageKind::copy, .state = cast(from).number, .other = s.number});
}

std::int64_t StagedModel::n_tokens(const StreamState& state) const {
  return backend_.n_tokens(*cast(state).here);
}

void StagedModel::save(const StreamState& state, std::vector<std::byte>& out) const {
  std::vector<std::vector<std::byte>> parts(1);
  backend_.save(*cast(state).here, parts.front());
  for (std::vector<std::byte>& part :
       driver_.ask({.kind = StageKind::save, .state = cast(state).number}))
    parts.push_back(std::move(part));
  const std::vector<std::byte> whole = join_states(parts);
  out.insert(out.end(), whole.begin(), whole.end());
}

std::int64_t StagedModel::load(StreamState& state, std::span<const std::byte> bytes) {
  State& s = cast(state);
  std::vector<std::int32_t> n_layers;
  for (const LayerRange& r : stages_) n_layers.push_back(r.n);
  try {
    ++s.n_changes;
    collect_all_own();
    StateOrder order{.kind = StageKind::load, .state = s.number};
    order.parts = split_state(bytes, n_layers);
    const std::int64_t at = backend_.load(*s.here, order.parts.front());
    order.parts.front().clear();
    for (const std::vector<std::byte>& answer : driver_.ask(std::move(order))) {
      if (answer.size() != sizeof at || std::memcmp(answer.data(), &at, sizeof at) != 0)
        StateReader::fail("its parts stand at different tokens");
    }
    return at;
  } catch (const BadData&) {
    reset(state);
    throw;
  }
}

void StagedModel::ask_positions(const State& s) const {
  s.positions.clear();
  for (const std::vector<std::byte>& bytes :
       driver_.ask({.kind = StageKind::positions, .state = s.number})) {
    for (std::vector<std::int32_t>& held : unpack_positions(bytes))
      s.positions.push_back(std::move(held));
  }
  s.known_at = s.n_changes;
}

void StagedModel::learn_positions(const Step& step, std::size_t block,
                                  const std::vector<const HeldPositions*>& by_stage) {
  State& s = *step.states[block];
  if (s.n_changes != step.changes[block]) return;
  s.positions.clear();
  for (const HeldPositions* held : by_stage)
    s.positions.insert(s.positions.end(), held->begin(), held->end());
  s.known_at = s.n_changes;
}

std::vector<std::int32_t> StagedModel::read_positions(const StreamState& state, std::int32_t layer,
                                                      std::int32_t group) const {
  const State& s = cast(state);
  if (layer < model_.range.n) return backend_.read_positions(*s.here, layer, group);
  if (s.known_at != s.n_changes) ask_positions(s);
  return s.positions.at(static_cast<std::size_t>(layer - model_.range.n) *
                            static_cast<std::size_t>(n_eviction_groups_) +
                        static_cast<std::size_t>(group));
}

std::vector<std::vector<std::int32_t>> StagedModel::read_all_positions(
    const StreamState& state) const {
  const State& s = cast(state);
  std::vector<std::vector<std::int32_t>> all = backend_.read_all_positions(*s.here);
  if (s.known_at != s.n_changes) ask_positions(s);
  all.insert(all.end(), s.positions.begin(), s.positions.end());
  return all;
}

}  // namespace tovamill
