// What stands for the CUDA backend in builds without it.
#include <filesystem>

#include "kernels/backend.h"
#include "kernels/gpu_info.h"
#include "kernels/nccl_group.h"
#include "kernels/types/error.h"

namespace tovamill {

std::unique_ptr<Backend> make_cuda_backend(const BackendOptions&) {
  throw Error(ExitCode::no_device,
              "--device cuda: this build has no CUDA (build with -DTOVAMILL_CUDA=ON); use --device "
              "cpu");
}

std::optional<NcclGroupId> make_nccl_group_id(std::string& why) {
  why = "this build has no CUDA";
  return std::nullopt;
}

std::string nccl_version() { return ""; }

std::vector<Gpu> usable_gpus() { return {}; }

GpuInfo gpu_info() {
  std::error_code unknown;  // a machine without /proc has no driver that we know of either
  const bool has_driver = std::filesystem::exists("/proc/driver/nvidia/version", unknown);
  return {.is_built = false,
          .versions = "",
          .rejection = has_driver ? "not built in, though this machine has an NVIDIA driver (build "
                                    "with -DTOVAMILL_CUDA=ON)"
                                  : "not built in",
          .devices = {}};
}

}  // namespace tovamill
