// Rows between GPUs as a step of this backend meets them. Each direction has a communicator and a
// stream of its own, beside those of the lanes:
//
//   lane (stage s)    embed | layers .. ->|called            wait sent -> next step of the lane
//   outgoing                              wait -> ncclSend -> sent
//   incoming (s + 1)  wait for the buffer -> ncclRecv -> received
//   lane (s + 1)                                         wait -> layers ..
//
// NCCL does the operations of a communicator in the order of calls, whatever their streams. In one
// communicator for both directions a middle stage would receive the rows of step k + 1 only when
// those of step k, reckoned, were sent, and its lanes would take turns; in the stream of a lane
// they would be received only when the step before on that lane is through. So a receive waits for
// nothing but its buffer. All sends of a stage are in the order of its steps, and so are the
// receives of the next, whichever lanes these are on. What an operation waits for is of an earlier
// step or a stage before, but for the other end, which the next stage calls for once it hears of
// the step: no two wait for each other. What waits keeps a few thread blocks of the GPU, which has
// room for those of both directions beside the lanes'.
//
// A step is finished when it is computed; only the next one in its buffer waits for the send.
// Nothing of it comes into a CUDA graph: lanes launch theirs between the waits.
#pragma once

#include <atomic>
#include <chrono>
#include <condition_variable>
#include <cstdint>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <thread>

#include "kernels/activation_transfer.h"
#include "kernels/cuda/nccl/link.h"
#include "kernels/cuda/step/in_flight_steps.h"

namespace tovamill::cuda {

// Nothing waits on the host: rows are ordered behind and before what the backend does with their
// buffers. A link that fails, is over its timeout or whose line is closed is broken off by a thread
// of its own, so whatever waits for the device, wherever it does, comes back.
class NcclTransfer final : public ActivationTransfer {
 public:
  // Device::link_activations. The lanes outlive it.
  NcclTransfer(const ActivationLinksPlace& place, int device, InFlightSteps& in_flight);
  ~NcclTransfer() override;

  void receive(Buffer& rows, std::int32_t n_rows) override;
  void send(const Buffer& rows, std::int32_t n_rows) override;
  void miss() override { has_missed_ = true; }
  void check() const override;

 private:
  using Clock = std::chrono::steady_clock;
  // An end of a link.
  struct End {
    Stream stream;
    std::unique_ptr<Link> link;
    std::atomic<std::uint64_t> n_called = 0;
    // The thread that watches: from when on it waits for the first `n_watched` calls.
    Event watched;
    std::uint64_t n_watched = 0;
    std::optional<Clock::time_point> since;
  };
  void join(End& end, const NcclGroupId& id, bool sends);
  std::size_t bytes_of(std::int32_t n_rows) const;
  template <class Call>
  void run(End& end, Call&& call);
  void watch();
  std::string find_failure();
  bool stands_still(End& end) const;
  void lose(const std::string& why);

  const ActivationLinksPlace place_;
  const int device_;
  InFlightSteps& in_flight_;
  End incoming_, outgoing_;
  Event received_;
  bool has_missed_ = false;
  mutable std::mutex mutex_;
  std::condition_variable ends_;
  bool is_over_ = false;
  std::optional<std::string> lost_;
  std::thread watcher_;
};

}  // namespace tovamill::cuda
