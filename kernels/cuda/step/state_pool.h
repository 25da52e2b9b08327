// The memory of states, and the order of what is done to them. A state remembers the step that
// used it last: a later step that uses it begins after that one on the device, and what is done
// between steps is done on a stream of its own after it, waited for by the host. Memory that a
// step in flight may still read is kept until that step is finished.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <vector>

#include "kernels/backend.h"
#include "kernels/cuda/device/arena.h"
#include "kernels/cuda/state/attention_model.h"
#include "kernels/cuda/state/state.h"
#include "kernels/cuda/step/in_flight_steps.h"

namespace tovamill::cuda {

class CudaStatePool : public std::enable_shared_from_this<CudaStatePool> {
 public:
  // `model` and `in_flight` outlive it. To be made by std::make_shared.
  CudaStatePool(const AttentionModel& model, InFlightSteps& in_flight, std::shared_ptr<Arena> arena)
      : model_(model), in_flight_(in_flight), arena_(std::move(arena)) {}

  std::unique_ptr<CudaState> make();
  // Makes room for exactly `capacity` slots, keeping what is there. Waits. Throws OutOfMemory;
  // nothing has changed then.
  void resize(CudaState& state, std::int64_t capacity);
  // Makes `to` what `from` is. Waits. Throws OutOfMemory; nothing has changed then.
  void copy(const CudaState& from, CudaState& to);
  // Where what is done to the state between steps is put.
  const Stream& after(const CudaState& state);

  // Before the next step begins with `blocks`: checks them, grows what must grow and orders the
  // step after the last ones of its states, all without waiting. Throws Error(internal),
  // OutOfMemory; no state has changed but in size then.
  void prepare(std::span<const StepBlock> blocks);
  // `step` is finished: what waited for it is free. States that it has brought down give the memory
  // of their growth back, but for those that a later step is at work on, or where there is no
  // memory to move them to.
  void finish(StepNumber step);
  // A state is destroyed.
  void forget(CudaState& state);

 private:
  struct Kept {
    StepNumber until;
    ArenaBlock memory;
  };
  struct Shrunk {
    StepNumber step;
    CudaState* state;
  };
  void check(const StepBlock& block) const;
  bool is_over(const CudaState& state) const;
  void grow(std::span<const StepBlock> blocks, InFlightStep& in_flight);
  void move(CudaState& state, ArenaBlock& memory, std::int64_t capacity, const Stream& stream);
  bool release_all();
  ArenaBlock take(std::int64_t capacity);

  const AttentionModel& model_;
  InFlightSteps& in_flight_;
  std::shared_ptr<Arena> arena_;
  Stream stream_;
  std::vector<Kept> kept_;
  std::vector<Shrunk> brought_down_;
};

}  // namespace tovamill::cuda
