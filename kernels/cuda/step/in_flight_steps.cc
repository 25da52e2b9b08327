#include "kernels/cuda/step/in_flight_steps.h"

#include <utility>

#include "kernels/types/error.h"

namespace tovamill::cuda {

InFlightSteps::InFlightSteps(std::int32_t n, const BackendOptions& options,
                             const AttentionModel& model, RowGemm& gemm, Arena& arena) {
  for (std::int32_t i = 0; i < n; ++i)
    in_flight_.push_back(std::make_unique<InFlightStep>(options, model, gemm, arena, trace_));
}

InFlightStep& InFlightSteps::next() {
  if (n_begun_ - n_finished_ == in_flight_.size())
    throw Error(ExitCode::internal, "as many steps are in flight as the device has memory for");
  return at(n_begun_ + 1);
}

void InFlightSteps::begin(std::span<const StepBlock> blocks, std::int32_t n_rows) {
  InFlightStep& in_flight = next();
  newest().close();
  in_flight.begin(n_begun_ + 1, blocks, n_rows);
  ++n_begun_;
}

StepNumber InFlightSteps::finish() {
  if (n_finished_ == n_begun_) return 0;
  newest().flush();  // the device goes on with it meanwhile
  at(n_finished_ + 1).finish();
  return ++n_finished_;
}

StepTrace InFlightSteps::take_trace() { return std::exchange(trace_.trace, {}); }

InFlightStep* InFlightSteps::of(StepNumber step) {
  if (step == 0) return nullptr;
  InFlightStep& in_flight = at(step);
  return in_flight.step() == step ? &in_flight : nullptr;
}

void InFlightSteps::order_after(StepNumber step, const Stream& stream) {
  if (InFlightStep* in_flight = of(step); in_flight != nullptr) in_flight->order(stream);
}

void InFlightSteps::synchronize() {
  for (const auto& in_flight : in_flight_) in_flight->synchronize();
}

std::uint64_t InFlightSteps::workspace_bytes() const {
  std::uint64_t n = 0;
  for (const auto& in_flight : in_flight_) n += in_flight->workspace_bytes();
  return n;
}

std::uint64_t InFlightSteps::workspace_bytes_for(std::int64_t n_slots) const {
  std::uint64_t n = 0;
  for (const auto& in_flight : in_flight_) n += in_flight->workspace_bytes_for(n_slots);
  return n;
}

}  // namespace tovamill::cuda
