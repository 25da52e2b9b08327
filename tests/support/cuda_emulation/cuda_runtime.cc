#include "tests/support/cuda_emulation/cuda_runtime.h"

#include <cstdlib>
#include <cstring>
#include <map>

#include "tests/support/cuda_emulation/garbage.h"
#include "tests/support/cuda_emulation/streams.h"

namespace {

constexpr std::size_t kDefaultDeviceBytes = std::size_t{1} << 30;

std::size_t device_bytes = kDefaultDeviceBytes, used_bytes = 0, largest_block = SIZE_MAX;
std::map<void*, std::size_t> allocations;
tovamill::emulation::Machine the_machine;

}  // namespace

namespace tovamill::emulation {

void set_device_bytes(std::size_t n) { device_bytes = n; }
void set_largest_block(std::size_t n) { largest_block = n; }
void set_machine(const Machine& machine) { the_machine = machine; }
bool take_operation() {
  if (the_machine.n_operations == 0) return false;
  --the_machine.n_operations;
  return true;
}
const Machine& machine() { return the_machine; }

}  // namespace tovamill::emulation

using tovamill::emulation::enqueue;
using tovamill::emulation::lock_machine;

cudaError_t cudaGetDeviceCount(int* n) {
  *n = the_machine.count_error == cudaSuccess ? the_machine.n_devices : 0;
  return the_machine.count_error;
}
cudaError_t cudaSetDevice(int device) {
  return device >= 0 && device < the_machine.n_devices ? cudaSuccess : cudaErrorInvalidValue;
}

cudaError_t cudaDeviceGetStreamPriorityRange(int* last, int* first) {
  *last = 0;
  *first = -5;
  return cudaSuccess;
}

cudaError_t cudaGetDeviceProperties(cudaDeviceProp* p, int) {
  *p = {};
  std::strcpy(p->name, "emulated device");
  p->totalGlobalMem = device_bytes;
  p->sharedMemPerBlockOptin = static_cast<std::size_t>(the_machine.shared_kib) << 10;
  p->major = the_machine.major;
  p->multiProcessorCount = 4;
  p->warpSize = 32;
  return cudaSuccess;
}

cudaError_t cudaDriverGetVersion(int* version) {
  return *version = the_machine.driver_version, cudaSuccess;
}
cudaError_t cudaRuntimeGetVersion(int* version) { return *version = 13000, cudaSuccess; }

cudaError_t cudaMemGetInfo(std::size_t* n_free, std::size_t* n_total) {
  const auto lock = lock_machine();
  *n_total = device_bytes;
  *n_free = device_bytes - used_bytes;
  return cudaSuccess;
}

cudaError_t cudaMalloc(void** p, std::size_t n) {
  const auto lock = lock_machine();
  *p = nullptr;
  if (n > device_bytes - used_bytes || n > largest_block) return cudaErrorMemoryAllocation;
  *p = tovamill::emulation::garbage(n);
  if (*p == nullptr) return cudaErrorMemoryAllocation;
  allocations[*p] = n;
  used_bytes += n;
  return cudaSuccess;
}

cudaError_t cudaFree(void* p) {
  if (p == nullptr) return cudaSuccess;
  const auto lock = lock_machine();
  const auto at = allocations.find(p);
  if (at == allocations.end()) return cudaErrorInvalidValue;
  used_bytes -= at->second;
  tovamill::emulation::give_back(p, at->second);
  allocations.erase(at);
  return cudaSuccess;
}

cudaError_t cudaHostAlloc(void** p, std::size_t n, unsigned) {
  *p = std::aligned_alloc(256, (n + 255) / 256 * 256);
  return *p != nullptr ? cudaSuccess : cudaErrorMemoryAllocation;
}

cudaError_t cudaFreeHost(void* p) { return std::free(p), cudaSuccess; }

cudaError_t cudaMemcpyAsync(void* to, const void* from, std::size_t n, cudaMemcpyKind,
                            cudaStream_t stream) {
  return enqueue(stream, [=] {
    if (n > 0) std::memmove(to, from, n);
  });
}

cudaError_t cudaMemcpy2DAsync(void* to, std::size_t to_pitch, const void* from,
                              std::size_t from_pitch, std::size_t width, std::size_t height,
                              cudaMemcpyKind, cudaStream_t stream) {
  return enqueue(stream, [=] {
    for (std::size_t i = 0; i < height; ++i)
      std::memmove(static_cast<char*>(to) + i * to_pitch,
                   static_cast<const char*>(from) + i * from_pitch, width);
  });
}

cudaError_t cudaMemsetAsync(void* to, int value, std::size_t n, cudaStream_t stream) {
  return enqueue(stream, [=] { std::memset(to, value, n); });
}

cudaError_t cudaGetLastError() { return cudaSuccess; }

const char* cudaGetErrorName(cudaError_t error) {
  switch (error) {
    case cudaSuccess:
      return "cudaSuccess";
    case cudaErrorInvalidValue:
      return "cudaErrorInvalidValue";
    case cudaErrorMemoryAllocation:
      return "cudaErrorMemoryAllocation";
    case cudaErrorInsufficientDriver:
      return "cudaErrorInsufficientDriver";
    case cudaErrorNoKernelImageForDevice:
      return "cudaErrorNoKernelImageForDevice";
    case cudaErrorNotReady:
      return "cudaErrorNotReady";
    case cudaErrorIllegalAddress:
      return "cudaErrorIllegalAddress";
    case cudaErrorStreamCaptureUnsupported:
      return "cudaErrorStreamCaptureUnsupported";
  }
  return "unknown";
}

const char* cudaGetErrorString(cudaError_t error) { return cudaGetErrorName(error); }
