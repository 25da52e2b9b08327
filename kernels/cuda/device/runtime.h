// CUDA's runtime as the backend uses it: calls that throw, memory, streams and events that free
// themselves, launches.
#pragma once

#include <cuda_runtime.h>

#include <cstddef>
#include <source_location>
#include <string>
#include <utility>

#include "kernels/device_failed.h"
#include "kernels/types/error.h"

namespace tovamill::cuda {

// A call of CUDA that failed: `call`, what it was for ("tensor model.layers.3.mlp.down") and the
// line of ours that made it.
// After it the device may be of no use to this process any more.
class DeviceError : public DeviceFailed {
 public:
  DeviceError(cudaError_t error, const std::string& call, const std::string& what,
              const std::source_location& where);
};

// Throws DeviceError unless the call succeeded; Error(no_device) where the program holds no code
// for this GPU.
void check(cudaError_t error, const char* call, const std::string& what = "",
           const std::source_location& where = std::source_location::current());
#define TOVAMILL_CUDA(call) ::tovamill::cuda::check((call), #call)

void* device_malloc(std::size_t n_bytes);  // throws OutOfMemory
void device_free(void* p) noexcept;

// Page-locked memory of the host, which copies run from and to while the host goes on.
class PinnedMemory {
 public:
  PinnedMemory() = default;
  explicit PinnedMemory(std::size_t n_bytes);  // throws OutOfMemory
  PinnedMemory(PinnedMemory&& other) noexcept { *this = std::move(other); }
  PinnedMemory& operator=(PinnedMemory&& other) noexcept;
  ~PinnedMemory();
  std::byte* data() const { return data_; }
  std::size_t size() const { return n_bytes_; }

 private:
  std::byte* data_ = nullptr;
  std::size_t n_bytes_ = 0;
};

class Event;

class Stream {
 public:
  Stream();
  ~Stream();
  Stream(const Stream&) = delete;
  Stream& operator=(const Stream&) = delete;
  cudaStream_t get() const { return stream_; }
  // What has failed before is told by whoever waits, which is why `where` is the caller's.
  void synchronize(const std::source_location& where = std::source_location::current()) const;
  void drain() const noexcept;  // the same, whatever comes of it
  // What is put into it from now on begins after the event was reached. The host goes on.
  void wait(const Event& event) const;

 private:
  cudaStream_t stream_ = nullptr;
};

class Event {
 public:
  explicit Event(bool timed = false);
  ~Event();
  Event(const Event&) = delete;
  Event& operator=(const Event&) = delete;
  cudaEvent_t get() const { return event_; }
  void record(const Stream& stream) const;
  void synchronize(const std::source_location& where = std::source_location::current()) const;
  bool is_reached() const;

 private:
  cudaEvent_t event_ = nullptr;
};

// Seconds by a GPU's clock, of events that have been reached; negative where `to` was before
// `from`.
double seconds_between(const Event& from, const Event& to);

// A grid of `blocks` blocks of `threads` threads with `shared_bytes` of dynamic shared memory.
struct Grid {
  dim3 blocks, threads;
  std::size_t shared_bytes = 0;
  bool goes_first = false;  // its blocks take the multiprocessors that other streams' leave
};
// The priority of such a grid's launch.
int first_priority();

// A block has 48 KiB of shared memory, what its kernel declares and what its launch asks for taken
// together, unless the kernel is told that it may have more. Kernels of launches that ask for any
// declare less than 16 KiB.
inline constexpr std::size_t kUsualSharedBytes = (48 - 16) << 10;

template <class... Expected, class... Actual>
void launch(void (*kernel)(Expected...), const char* name, const Grid& grid, const Stream& stream,
            Actual&&... arguments) {
  if (grid.blocks.x == 0 || grid.blocks.y == 0 || grid.blocks.z == 0) return;
  cudaLaunchConfig_t config{};
  config.gridDim = grid.blocks;
  config.blockDim = grid.threads;
  config.dynamicSmemBytes = grid.shared_bytes;
  config.stream = stream.get();
  cudaLaunchAttribute priority{};
  if (grid.goes_first) {
    priority.id = cudaLaunchAttributePriority;
    priority.val.priority = first_priority();
    config.attrs = &priority;
    config.numAttrs = 1;
  }
  if (grid.shared_bytes > kUsualSharedBytes)
    check(cudaFuncSetAttribute(kernel, cudaFuncAttributeMaxDynamicSharedMemorySize,
                               static_cast<int>(grid.shared_bytes)),
          name, "shared memory");
  check(cudaLaunchKernelEx(&config, kernel, static_cast<Expected>(arguments)...), name, "launch");
}

}  // namespace tovamill::cuda
