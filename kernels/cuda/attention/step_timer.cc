#include "kernels/cuda/attention/step_timer.h"

#include <algorithm>

namespace tovamill::cuda {

std::shared_ptr<const Event> StepTimer::record(const Stream& stream) {
  if (spare_.empty()) spare_.push_back(std::make_shared<const Event>(true));
  std::shared_ptr<const Event> event = std::move(spare_.back());
  spare_.pop_back();
  event->record(stream);
  return event;
}

void StepTimer::begin(StepPart part, const Stream& stream) {
  if (!is_on_) return;
  for (Mark& m : marks_) spare_.push_back(std::move(m.event));
  marks_.clear();
  end_ = nullptr;
  marks_.push_back({part, record(stream)});
}

void StepTimer::enter(StepPart part, const Stream& stream) {
  if (!is_on_ || marks_.empty() || end_ != nullptr || marks_.back().part == part) return;
  marks_.push_back({part, record(stream)});
}

void StepTimer::end(const Stream& stream) {
  if (!is_on_ || marks_.empty() || end_ != nullptr) return;
  end_ = record(stream);
}

// Steps in flight may overlap: there is a gap only where a step begins after all before it have
// ended.
void StepTimer::read(TraceSum& sum, bool is_step) {
  if (!is_on_ || end_ == nullptr) return;
  for (std::size_t i = 0; i < marks_.size(); ++i) {
    const Event& until = i + 1 < marks_.size() ? *marks_[i + 1].event : *end_;
    sum.trace.part_seconds[static_cast<std::size_t>(marks_[i].part)] +=
        seconds_between(*marks_[i].event, until);
  }
  sum.trace.busy_seconds += seconds_between(*marks_.front().event, *end_);
  sum.trace.n_steps += is_step ? 1 : 0;
  if (sum.last_end == nullptr) {
    sum.last_end = std::move(end_);
  } else {
    sum.trace.gap_seconds += std::max(0.0, seconds_between(*sum.last_end, *marks_.front().event));
    if (seconds_between(*sum.last_end, *end_) > 0.0) std::swap(sum.last_end, end_);
    spare_.push_back(std::move(end_));
  }
  end_ = nullptr;
  for (Mark& m : marks_) spare_.push_back(std::move(m.event));
  marks_.clear();
}

}  // namespace tovamill::cuda
