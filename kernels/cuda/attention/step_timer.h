// Where a step's time goes on the GPU: an event where another part of it begins.
#pragma once

#include <cstddef>
#include <memory>
#include <vector>

#include "kernels/cuda/device/runtime.h"
#include "kernels/step_trace.h"

namespace tovamill::cuda {

// What all steps in flight have taken.
struct TraceSum {
  StepTrace trace;
  std::shared_ptr<const Event> last_end;  // the latest so far; null: none
};

class StepTimer {
 public:
  explicit StepTimer(bool is_on) : is_on_(is_on) {}
  bool is_on() const { return is_on_; }

  // A step begins with `part`; it goes on with another; it ends. All do nothing where it is off.
  void begin(StepPart part, const Stream& stream);
  void enter(StepPart part, const Stream& stream);
  void end(const Stream& stream);
  // Adds what the step took, once its end has been reached; what stands between steps (logits that
  // are read) is measured as one, but not counted.
  void read(TraceSum& sum, bool is_step = true);
  // Whether no step has begun that has not been read.
  bool is_idle() const { return marks_.empty(); }

 private:
  struct Mark {
    StepPart part;
    std::shared_ptr<const Event> event;
  };
  std::shared_ptr<const Event> record(const Stream& stream);

  bool is_on_;
  std::vector<Mark> marks_;
  std::shared_ptr<const Event> end_;
  std::vector<std::shared_ptr<const Event>> spare_;
};

}  // namespace tovamill::cuda
