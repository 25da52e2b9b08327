// The steps in flight, n at most: each has a stream and memory of its own, which every n-th step
// takes. What one step does to a state, a later one finds done.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <vector>

#include "kernels/backend.h"
#include "kernels/cuda/step/in_flight_step.h"

namespace tovamill::cuda {

class InFlightSteps {
 public:
  InFlightSteps(std::int32_t n, const BackendOptions& options, const AttentionModel& model,
                RowGemm& gemm, Arena& arena);

  std::int32_t n() const { return static_cast<std::int32_t>(in_flight_.size()); }
  // The step that began last; before there is any, the first one's place.
  InFlightStep& newest() { return at(n_begun_); }
  // The place of the step that will begin. Throws Error(internal) where it is in flight.
  InFlightStep& next();
  StepNumber next_step() const { return n_begun_ + 1; }
  // The next step begins; no more calls of the one before come.
  void begin(std::span<const StepBlock> blocks, std::int32_t n_rows);
  // Waits for the oldest step in flight and says which it was; 0 where there is none.
  StepNumber finish();
  StepTrace take_trace();

  bool is_finished(StepNumber step) const { return step <= n_finished_; }
  // A step by its number, null where another has begun in its place since: it is finished then.
  InFlightStep* of(StepNumber step);
  // What is put into `stream` from now on finds done what has been called of `step` so far.
  void order_after(StepNumber step, const Stream& stream);
  // Waits for all that has been called.
  void synchronize();

  std::uint64_t workspace_bytes() const;
  std::uint64_t workspace_bytes_for(std::int64_t n_slots) const;

 private:
  InFlightStep& at(StepNumber step) {
    return *in_flight_[static_cast<std::size_t>(step > 0 ? step - 1 : 0) % in_flight_.size()];
  }

  TraceSum trace_;
  std::vector<std::unique_ptr<InFlightStep>> in_flight_;
  StepNumber n_begun_ = 0, n_finished_ = 0;
};

}  // namespace tovamill::cuda
