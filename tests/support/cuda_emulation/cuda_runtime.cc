#include "tests/support/cuda_emulation/cuda_runtime.h"

#include <chrono>
#include <cstdlib>
#include <cstring>
#include <deque>
#include <map>
#include <memory>
#include <mutex>
#include <vector>

struct EmulatedGraph {
  std::vector<std::function<void()>> work;
};

struct EmulatedStream {
  std::deque<std::function<void()>> waiting;
  EmulatedGraph* captured = nullptr;
};

// An event that has been recorded and not yet reached knows the stream that will reach it.
struct EmulatedEvent {
  EmulatedStream* stream = nullptr;
  std::uint64_t n_recorded = 0, n_reached = 0;
  std::chrono::steady_clock::time_point when;
};

namespace {

constexpr int kGarbage = 0xC7;
constexpr std::size_t kDefaultDeviceBytes = std::size_t{1} << 30;

bool is_eager = false;
std::size_t device_bytes = kDefaultDeviceBytes, used_bytes = 0;
std::map<void*, std::size_t> allocations;
EmulatedStream default_stream;

EmulatedStream& of(cudaStream_t stream) { return stream != nullptr ? *stream : default_stream; }

void finish(EmulatedStream& stream) {
  while (!stream.waiting.empty()) {
    const std::function<void()> work = std::move(stream.waiting.front());
    stream.waiting.pop_front();
    work();
  }
}

// Works a stream off until it has reached the recording.
void reach(EmulatedEvent& event, std::uint64_t recording) {
  while (event.n_reached < recording && event.stream != nullptr && !event.stream->waiting.empty()) {
    const std::function<void()> work = std::move(event.stream->waiting.front());
    event.stream->waiting.pop_front();
    work();
  }
}

}  // namespace

namespace tovamill::emulation {

cudaError_t enqueue(cudaStream_t stream, std::function<void()> work) {
  EmulatedStream& s = of(stream);
  if (s.captured != nullptr) {
    s.captured->work.push_back(std::move(work));
  } else {
    s.waiting.push_back(std::move(work));
    if (is_eager) finish(s);
  }
  return cudaSuccess;
}

void set_eager(bool eager) { is_eager = eager; }
void set_device_bytes(std::size_t n) { device_bytes = n; }

}  // namespace tovamill::emulation

using tovamill::emulation::enqueue;

cudaError_t cudaGetDeviceCount(int* n) { return *n = 1, cudaSuccess; }
cudaError_t cudaSetDevice(int device) { return device == 0 ? cudaSuccess : cudaErrorInvalidValue; }

cudaError_t cudaGetDeviceProperties(cudaDeviceProp* p, int) {
  *p = {};
  std::strcpy(p->name, "emulated device");
  p->totalGlobalMem = device_bytes;
  p->sharedMemPerBlockOptin = 227 << 10;
  p->major = 9;
  p->multiProcessorCount = 4;
  p->warpSize = 32;
  return cudaSuccess;
}

cudaError_t cudaDriverGetVersion(int* version) { return *version = 13000, cudaSuccess; }
cudaError_t cudaRuntimeGetVersion(int* version) { return *version = 13000, cudaSuccess; }

cudaError_t cudaMemGetInfo(std::size_t* n_free, std::size_t* n_total) {
  *n_total = device_bytes;
  *n_free = device_bytes - used_bytes;
  return cudaSuccess;
}

cudaError_t cudaMalloc(void** p, std::size_t n) {
  *p = nullptr;
  if (n > device_bytes - used_bytes) return cudaErrorMemoryAllocation;
  *p = std::aligned_alloc(256, (n + 255) / 256 * 256);
  if (*p == nullptr) return cudaErrorMemoryAllocation;
  std::memset(*p, kGarbage, n);
  allocations[*p] = n;
  used_bytes += n;
  return cudaSuccess;
}

cudaError_t cudaFree(void* p) {
  if (p == nullptr) return cudaSuccess;
  const auto at = allocations.find(p);
  if (at == allocations.end()) return cudaErrorInvalidValue;
  used_bytes -= at->second;
  allocations.erase(at);
  std::free(p);
  return cudaSuccess;
}

cudaError_t cudaHostAlloc(void** p, std::size_t n, unsigned) {
  *p = std::aligned_alloc(256, (n + 255) / 256 * 256);
  return *p != nullptr ? cudaSuccess : cudaErrorMemoryAllocation;
}

cudaError_t cudaFreeHost(void* p) { return std::free(p), cudaSuccess; }

cudaError_t cudaMemcpyAsync(void* to, const void* from, std::size_t n, cudaMemcpyKind,
                            cudaStream_t stream) {
  return enqueue(stream, [=] { std::memmove(to, from, n); });
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

cudaError_t cudaStreamCreateWithFlags(cudaStream_t* stream, unsigned) {
  return *stream = new EmulatedStream, cudaSuccess;
}

cudaError_t cudaStreamDestroy(cudaStream_t stream) {
  finish(of(stream));
  delete stream;
  return cudaSuccess;
}

cudaError_t cudaStreamSynchronize(cudaStream_t stream) { return finish(of(stream)), cudaSuccess; }

cudaError_t cudaStreamWaitEvent(cudaStream_t stream, cudaEvent_t event, unsigned) {
  const std::uint64_t recording = event->n_recorded;
  return enqueue(stream, [=] { reach(*event, recording); });
}

cudaError_t cudaEventCreateWithFlags(cudaEvent_t* event, unsigned) {
  return *event = new EmulatedEvent, cudaSuccess;
}

cudaError_t cudaEventDestroy(cudaEvent_t event) {
  if (event != nullptr) reach(*event, event->n_recorded);
  delete event;
  return cudaSuccess;
}

cudaError_t cudaEventRecord(cudaEvent_t event, cudaStream_t stream) {
  event->stream = &of(stream);
  const std::uint64_t recording = ++event->n_recorded;
  return enqueue(stream, [=] {
    event->n_reached = recording;
    event->when = std::chrono::steady_clock::now();
  });
}

cudaError_t cudaEventSynchronize(cudaEvent_t event) {
  return reach(*event, event->n_recorded), cudaSuccess;
}

cudaError_t cudaEventQuery(cudaEvent_t event) {
  return event->n_reached == event->n_recorded ? cudaSuccess : cudaErrorNotReady;
}

cudaError_t cudaEventElapsedTime(float* ms, cudaEvent_t from, cudaEvent_t to) {
  *ms = std::chrono::duration<float, std::milli>(to->when - from->when).count();
  return cudaSuccess;
}

cudaError_t cudaStreamBeginCapture(cudaStream_t stream, cudaStreamCaptureMode) {
  of(stream).captured = new EmulatedGraph;
  return cudaSuccess;
}

cudaError_t cudaStreamEndCapture(cudaStream_t stream, cudaGraph_t* graph) {
  *graph = std::exchange(of(stream).captured, nullptr);
  return cudaSuccess;
}

cudaError_t cudaGraphInstantiate(cudaGraphExec_t* exec, cudaGraph_t graph, unsigned long long) {
  return *exec = new EmulatedGraph(*graph), cudaSuccess;
}

cudaError_t cudaGraphDestroy(cudaGraph_t graph) { return delete graph, cudaSuccess; }
cudaError_t cudaGraphExecDestroy(cudaGraphExec_t exec) { return delete exec, cudaSuccess; }

cudaError_t cudaGraphLaunch(cudaGraphExec_t exec, cudaStream_t stream) {
  for (const std::function<void()>& work : exec->work) enqueue(stream, work);
  return cudaSuccess;
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
    case cudaErrorNotReady:
      return "cudaErrorNotReady";
  }
  return "unknown";
}

const char* cudaGetErrorString(cudaError_t error) { return cudaGetErrorName(error); }
