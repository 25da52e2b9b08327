#include "kernels/cuda/step/lanes.h"

#include <utility>

#include "kernels/types/error.h"

namespace tovamill::cuda {

Lanes::Lanes(std::int32_t n, const BackendOptions& options, const AttentionModel& model,
             RowProducts& products, Arena& arena) {
  for (std::int32_t i = 0; i < n; ++i)
    lanes_.push_back(std::make_unique<Lane>(options, model, products, arena, trace_));
}

Lane& Lanes::next() {
  if (n_begun_ - n_finished_ == lanes_.size())
    throw Error(ExitCode::internal, "as many steps are under way as the device has lanes");
  return at(n_begun_ + 1);
}

void Lanes::begin(std::span<const StepBlock> blocks, std::int32_t n_rows) {
  Lane& lane = next();
  newest().close();
  lane.begin(n_begun_ + 1, blocks, n_rows);
  ++n_begun_;
}

StepNumber Lanes::finish() {
  if (n_finished_ == n_begun_) return 0;
  newest().flush();  // the device goes on with it meanwhile
  at(n_finished_ + 1).finish();
  return ++n_finished_;
}

StepTrace Lanes::take_trace() { return std::exchange(trace_.trace, {}); }

Lane* Lanes::of(StepNumber step) {
  if (step == 0) return nullptr;
  Lane& lane = at(step);
  return lane.step() == step ? &lane : nullptr;
}

void Lanes::order_after(StepNumber step, const Stream& stream) {
  if (Lane* lane = of(step); lane != nullptr) lane->order(stream);
}

void Lanes::synchronize() {
  for (const auto& lane : lanes_) lane->synchronize();
}

std::uint64_t Lanes::workspace_bytes() const {
  std::uint64_t n = 0;
  for (const auto& lane : lanes_) n += lane->workspace_bytes();
  return n;
}

std::uint64_t Lanes::workspace_bytes_for(std::int64_t n_columns) const {
  std::uint64_t n = 0;
  for (const auto& lane : lanes_) n += lane->workspace_bytes_for(n_columns);
  return n;
}

}  // namespace tovamill::cuda
