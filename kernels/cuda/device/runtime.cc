#include "kernels/cuda/device/runtime.h"

#include "kernels/types/format.h"

namespace tovamill::cuda {

namespace {

std::string place_of(const std::source_location& where) {
  const std::string path = where.file_name();
  const std::size_t kernels = path.rfind("kernels/");
  return (kernels == std::string::npos ? path : path.substr(kernels)) + ":" +
         std::to_string(where.line());
}

}  // namespace

DeviceError::DeviceError(cudaError_t error, const std::string& call, const std::string& what,
                         const std::source_location& where)
    : DeviceFailed("CUDA: " + call + (what.empty() ? "" : " (" + what + ")") + " at " +
                   place_of(where) + ": " + cudaGetErrorName(error) + ": " +
                   cudaGetErrorString(error)) {}

void check(cudaError_t error, const char* call, const std::string& what,
           const std::source_location& where) {
  if (error == cudaSuccess) return;
  if (error == cudaErrorNoKernelImageForDevice) {
    throw Error(ExitCode::no_device,
                "--device cuda: this program has no code for this GPU's architecture; use --device "
                "cpu, or build it for that architecture (CMAKE_CUDA_ARCHITECTURES)");
  }
  throw DeviceError(error, call, what, where);
}

void* device_malloc(std::size_t n_bytes) {
  void* p = nullptr;
  const cudaError_t error = cudaMalloc(&p, n_bytes);
  if (error == cudaErrorMemoryAllocation) {
    cudaGetLastError();  // it is dealt with here
    throw OutOfMemory(
        "out of GPU memory: " + with_thousands(n_bytes) +
        " bytes could not be had; is another process on the GPU? Give a smaller --memory-budget");
  }
  check(error, "cudaMalloc", with_thousands(n_bytes) + " bytes");
  return p;
}

void device_free(void* p) noexcept { cudaFree(p); }

PinnedMemory::PinnedMemory(std::size_t n_bytes) : n_bytes_(n_bytes) {
  void* p = nullptr;
  const cudaError_t error = cudaHostAlloc(&p, n_bytes > 0 ? n_bytes : 1, cudaHostAllocDefault);
  if (error == cudaErrorMemoryAllocation) {
    cudaGetLastError();
    throw OutOfMemory("out of memory: " + with_thousands(n_bytes) +
                      " page-locked bytes could not be had; use fewer --streams");
  }
  check(error, "cudaHostAlloc", with_thousands(n_bytes) + " bytes");
  data_ = static_cast<std::byte*>(p);
}

PinnedMemory& PinnedMemory::operator=(PinnedMemory&& other) noexcept {
  std::swap(data_, other.data_);
  std::swap(n_bytes_, other.n_bytes_);
  return *this;
}

PinnedMemory::~PinnedMemory() { cudaFreeHost(data_); }

Stream::Stream() { TOVAMILL_CUDA(cudaStreamCreateWithFlags(&stream_, cudaStreamNonBlocking)); }
Stream::~Stream() {
  drain();
  cudaStreamDestroy(stream_);
}
void Stream::drain() const noexcept { cudaStreamSynchronize(stream_); }
void Stream::synchronize(const std::source_location& where) const {
  check(cudaStreamSynchronize(stream_), "cudaStreamSynchronize", "", where);
}
void Stream::wait(const Event& event) const {
  TOVAMILL_CUDA(cudaStreamWaitEvent(stream_, event.get(), 0));
}

Event::Event(bool timed) {
  TOVAMILL_CUDA(
      cudaEventCreateWithFlags(&event_, timed ? cudaEventDefault : cudaEventDisableTiming));
}
Event::~Event() { cudaEventDestroy(event_); }
void Event::record(const Stream& stream) const {
  TOVAMILL_CUDA(cudaEventRecord(event_, stream.get()));
}
void Event::synchronize(const std::source_location& where) const {
  check(cudaEventSynchronize(event_), "cudaEventSynchronize", "", where);
}

bool Event::is_reached() const {
  const cudaError_t state = cudaEventQuery(event_);
  if (state == cudaErrorNotReady) return false;
  check(state, "cudaEventQuery");
  return true;
}

double seconds_between(const Event& from, const Event& to) {
  float ms = 0.0f;
  TOVAMILL_CUDA(cudaEventElapsedTime(&ms, from.get(), to.get()));
  return static_cast<double>(ms) / 1e3;
}

// The lowest number is the first; 0 where a device knows no priorities.
int first_priority() {
  int last = 0, first = 0;
  TOVAMILL_CUDA(cudaDeviceGetStreamPriorityRange(&last, &first));
  return first;
}

}  // namespace tovamill::cuda
