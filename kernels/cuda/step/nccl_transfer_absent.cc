// What stands for rows from GPU to GPU in builds with CUDA and without NCCL.
#include "kernels/cuda/step/device.h"

namespace tovamill::cuda {

std::unique_ptr<ActivationTransfer> make_nccl_transfer(const ActivationLinksPlace&, int,
                                                       InFlightSteps&) {
  throw NcclGroupError("this build has none");
}

}  // namespace tovamill::cuda
