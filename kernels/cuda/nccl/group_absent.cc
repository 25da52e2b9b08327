// What stands for NCCL in builds with CUDA and without it.
#include "kernels/cuda/nccl/group.h"

namespace tovamill {

std::optional<NcclGroupId> make_nccl_group_id(std::string& why) {
  why = "this build has no NCCL";
  return std::nullopt;
}

std::string nccl_version() { return ""; }

}  // namespace tovamill

namespace tovamill::cuda {

std::unique_ptr<Group> join_group(const NcclGroupPlace&, const Stream&) {
  throw NcclGroupError("this build has none");
}

}  // namespace tovamill::cuda
