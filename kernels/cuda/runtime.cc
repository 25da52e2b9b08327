#include "kernels/cuda/runtime.h"

namespace tovamill::cuda {

DeviceError::DeviceError(cudaError_t error, const std::string& call, const std::string& what)
    : Error(ExitCode::internal, "CUDA: " + call + (what.empty() ? "" : " (" + what + ")") + ": " +
                                    cudaGetErrorName(error) + ": " + cudaGetErrorString(error)) {}

void check(cudaError_t error, const char* call, const std::string& what) {
  if (error != cudaSuccess) throw DeviceError(error, call, what);
}

void* device_malloc(std::size_t n_bytes) {
  void* p = nullptr;
  const cudaError_t error = cudaMalloc(&p, n_bytes);
  if (error == cudaErrorMemoryAllocation) {
    cudaGetLastError();  // it is dealt with here
    throw OutOfMemory(
        "out of GPU memory: " + std::to_string(n_bytes) +
        " bytes could not be had; is another process on the GPU? Give a smaller --memory-budget");
  }
  check(error, "cudaMalloc", std::to_string(n_bytes) + " bytes");
  return p;
}

void device_free(void* p) noexcept { cudaFree(p); }

PinnedMemory::PinnedMemory(std::size_t n_bytes) : n_bytes_(n_bytes) {
  void* p = nullptr;
  const cudaError_t error = cudaHostAlloc(&p, n_bytes > 0 ? n_bytes : 1, cudaHostAllocDefault);
  if (error == cudaErrorMemoryAllocation) {
    cudaGetLastError();
    throw OutOfMemory("out of memory: " + std::to_string(n_bytes) +
                      " page-locked bytes could not be had; use fewer --streams");
  }
  check(error, "cudaHostAlloc", std::to_string(n_bytes) + " bytes");
  data_ = static_cast<std::byte*>(p);
}

PinnedMemory& PinnedMemory::operator=(PinnedMemory&& other) noexcept {
  std::swap(data_, other.data_);
  std::swap(n_bytes_, other.n_bytes_);
  return *this;
}

PinnedMemory::~PinnedMemory() { cudaFreeHost(data_); }

Stream::Stream() { TOVAMILL_CUDA(cudaStreamCreateWithFlags(&stream_, cudaStreamNonBlocking)); }
Stream::~Stream() { cudaStreamDestroy(stream_); }
void Stream::synchronize() const { TOVAMILL_CUDA(cudaStreamSynchronize(stream_)); }

Event::Event(bool timed) {
  TOVAMILL_CUDA(
      cudaEventCreateWithFlags(&event_, timed ? cudaEventDefault : cudaEventDisableTiming));
}
Event::~Event() { cudaEventDestroy(event_); }
void Event::record(const Stream& stream) const {
  TOVAMILL_CUDA(cudaEventRecord(event_, stream.get()));
}
void Event::synchronize() const { TOVAMILL_CUDA(cudaEventSynchronize(event_)); }

}  // namespace tovamill::cuda
