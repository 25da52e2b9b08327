// One direction between two GPUs: a communicator of NCCL for two ranks, of which one sends and the
// other receives.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>

#include "kernels/cuda/device/runtime.h"
#include "kernels/nccl_group.h"

namespace tovamill::cuda {

class Link {
 public:
  virtual ~Link() = default;  // breaks it off
  // Put bytes into the link's stream: what one end sends the other receives, in the order of calls
  // and of the same size. Each end's stream waits for the other's. Throw NcclGroupError.
  virtual void send(const void* data, std::size_t n_bytes) = 0;
  virtual void receive(void* data, std::size_t n_bytes) = 0;

  // --- any thread

  // What has gone wrong; empty where nothing has.
  virtual std::string failure() = 0;
  // The stream goes on, with any result. Waits for nothing.
  virtual void break_off() noexcept = 0;
};

struct LinkPlace {
  NcclGroupId id;
  bool sends = false;
  double timeout_s = 60.0;    // for the other end to come
  std::uint64_t content = 0;  // must be the same at both ends
  std::function<void()> look =
      {};  // called while the other end is waited for; what it throws ends that
};

// Of work in `stream`, which outlives it. Waits for the other end. Throws NcclGroupError, in any
// case where there is no NCCL.
std::unique_ptr<Link> join_link(const LinkPlace& place, const Stream& stream);

}  // namespace tovamill::cuda
