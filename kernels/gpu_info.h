// The GPUs that this process can use, for messages.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace tovamill {

struct GpuInfo {
  bool is_built = false;             // this build has CUDA
  std::string versions;              // "CUDA 13.0, driver for CUDA 13.0"; empty where it has none
  std::string rejection;             // why no GPU can be used; empty where one can
  std::vector<std::string> devices;  // "NVIDIA H200, 132 SMs, 139.8 GiB"
};

GpuInfo gpu_info();

// A GPU that the CUDA backend supports.
struct Gpu {
  int index = 0;                  // BackendOptions::device_index
  std::uint64_t identity = 0;     // of the GPU, or of a part of it: the same in every process
  std::uint64_t total_bytes = 0;  // of its memory
  std::string name;               // "NVIDIA H200"
};

// Those that this process sees, in CUDA's order; none where there is no CUDA. Takes no memory of
// any.
std::vector<Gpu> usable_gpus();

}  // namespace tovamill
