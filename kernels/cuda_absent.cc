// What stands for the CUDA backend in builds without it.
#include "kernels/backend.h"
#include "kernels/error.h"

namespace tovamill {

std::unique_ptr<Backend> make_cuda_backend(const BackendOptions&) {
  throw Error(ExitCode::no_device,
              "--device cuda: this build has no CUDA (build with -DTOVAMILL_CUDA=ON); use --device "
              "cpu");
}

}  // namespace tovamill
