// NCCL's communicator as start-up uses it: nothing waits for ever for a rank that has died, and
// after start-up there is none.
#pragma once

#include <cstddef>
#include <memory>
#include <string>

#include "kernels/cuda/device/runtime.h"
#include "kernels/nccl_group.h"

namespace tovamill::cuda {

class Group {
 public:
  virtual ~Group() = default;      // breaks it off, unless finish() came first
  virtual bool reads() const = 0;  // whether this rank is the one that has what is broadcast
  // `data` of the rank that reads comes to all, in the order of the stream. Throws NcclGroupError.
  virtual void broadcast(void* data, std::size_t n_bytes, const std::string& what) = 0;
  // Waits for all that the stream has; then the group is over. Throws NcclGroupError.
  virtual void finish() = 0;
};

// Of work in `stream`, which outlives it. Waits for all ranks. Throws NcclGroupError; where the
// ranks read different things, in all of them. Where there is no NCCL a group cannot be had:
// make_nccl_group_id gives no id.
std::unique_ptr<Group> join_group(const NcclGroupPlace& place, const Stream& stream);

}  // namespace tovamill::cuda
