// Which GPU a rank works on, and what it is.
#pragma once

#include <cstdint>
#include <string>

namespace tovamill::cuda {

struct DeviceFacts {
  std::string name;  // "NVIDIA H200, 132 SMs, 139.8 GiB"
  int index = 0;
  int major = 0, minor = 0;  // compute capability
  std::uint64_t total_bytes = 0, free_bytes = 0;
  std::uint64_t block_shared_bytes = 0;  // of shared memory, at most, that a block may have
};

// Throws Error(no_device) in one line that says what is missing: a driver, a newer driver, a GPU, a
// GPU of a supported architecture. `wanted` is an index among those that this process sees.
int choose_device(int wanted);
DeviceFacts device_facts(int device);
// Bytes that the backend would take at once: `wanted`, or where that is 0 92 % of what is there;
// and that it can, which is never more than is free.
std::uint64_t wanted_bytes(const DeviceFacts& facts, std::uint64_t wanted);
std::uint64_t arena_bytes(const DeviceFacts& facts, std::uint64_t wanted);

}  // namespace tovamill::cuda
