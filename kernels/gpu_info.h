// The GPUs that this process can use, for messages.
#pragma once

#include <string>
#include <vector>

namespace tovamill {

struct GpuInfo {
  bool is_built = false;             // this build has CUDA
  std::string versions;              // "CUDA 13.0, driver for CUDA 13.0"; empty where it has none
  std::string obstacle;              // why no GPU can be used; empty where one can
  std::vector<std::string> devices;  // "NVIDIA H200, 132 SMs, 139.8 GiB"
};

GpuInfo gpu_info();

}  // namespace tovamill
