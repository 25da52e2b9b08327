// A communicator of NCCL that never waits without end: every wait has a deadline, and another
// thread may break it off meanwhile.
#pragma once

#include <nccl.h>

#include <chrono>
#include <functional>
#include <mutex>
#include <string>
#include <utility>

#include "kernels/cuda/device/runtime.h"
#include "kernels/nccl_group.h"

namespace tovamill::cuda {

// All throw NcclGroupError, with `what` in front, where NCCL fails or nothing has come for
// `timeout_s`; and whatever `on_poll` does, which is called while something is waited for.
class Communicator {
 public:
  explicit Communicator(double timeout_s, std::function<void()> on_poll = {})
      : timeout_s_(timeout_s), on_poll_(std::move(on_poll)) {}
  ~Communicator() { abort(); }
  Communicator(const Communicator&) = delete;
  Communicator& operator=(const Communicator&) = delete;

  // Its kernels take at most `most_blocks` thread blocks; 0: as many as NCCL likes.
  void join(const NcclGroupId& id, int rank, int n_ranks, int most_blocks = 0);
  // call(communicator), until NCCL has put it into its stream.
  template <class Call>
  void run(Call&& call, const std::string& what) {
    std::unique_lock lock(mutex_);
    if (communicator_ == nullptr) throw NcclGroupError(what + ": it was broken off");
    drain(lock, call(communicator_), what);
  }
  // For what is recorded behind work of the communicator.
  void wait(const Event& event, const std::string& what);
  // All ranks have come to their end: the communicator is over.
  void finish();

  // --- any thread

  // What NCCL says has gone wrong; empty where nothing has.
  std::string failure();
  // Ends what is in flight, with any result, and waits for no other rank. It is of no use then.
  void abort() noexcept;

 private:
  using Clock = std::chrono::steady_clock;
  void drain(std::unique_lock<std::mutex>& lock, ncclResult_t result, const std::string& what);
  void pause(Clock::time_point start, const std::string& what) const;

  double timeout_s_;
  std::function<void()> on_poll_;
  std::mutex mutex_;
  ncclComm_t communicator_ = nullptr;
};

}  // namespace tovamill::cuda
