// One direction between two GPUs: a communicator of NCCL for two ranks, of which one sends and the
// other receives.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <string>

#include "kernels/cuda/device/runtime.h"
#include "kernels/cuda/nccl/communicator.h"
#include "kernels/nccl_group.h"

namespace tovamill::cuda {

struct LinkPlace {
  NcclGroupId id;
  bool sends = false;
  double timeout_s = 60.0;    // for the other end to come
  std::uint64_t content = 0;  // must be the same at both ends
  // Called while the other end is waited for; what it throws ends that.
  std::function<void()> on_poll = {};
};

class Link {
 public:
  // Of work in `stream`, which outlives it.
  Link(const LinkPlace& place, const Stream& stream);
  ~Link();  // breaks it off
  Link(const Link&) = delete;
  Link& operator=(const Link&) = delete;

  // Waits for the other end; before anything else. Throws NcclGroupError.
  void join(const LinkPlace& place);
  // Put bytes into the link's stream: what one end sends the other receives, in the order of calls
  // and of the same size. Each end's stream waits for the other's. Throw NcclGroupError.
  void send(const void* data, std::size_t n_bytes);
  void receive(void* data, std::size_t n_bytes);

  // --- any thread

  // What has gone wrong; empty where nothing has.
  std::string failure() { return communicator_.failure(); }
  // The stream goes on, with any result. Waits for nothing.
  void break_off() noexcept { communicator_.abort(); }

 private:
  void copy(void* to, const void* from, cudaMemcpyKind kind);

  const Stream& stream_;
  Communicator communicator_;
  // The first bytes that go: LinkPlace::content.
  PinnedMemory host_;
  void* device_ = nullptr;
};

}  // namespace tovamill::cuda
