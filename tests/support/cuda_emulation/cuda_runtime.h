// What the CUDA backend uses of CUDA's runtime, for the emulation: the same names, meant for
// sources that nvcc compiles where there is CUDA. Memory of the device is memory of the host that
// holds garbage at first. Work of streams is only done when somebody waits for it (or at once, by
// set_eager), that of several streams in random order: what the host reads or changes too early,
// and what streams do without waiting for each other, is seen as wrong.
#pragma once

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <functional>
#include <map>
#include <tuple>
#include <utility>

#include "tests/support/cuda_emulation/emulation.h"

// ---- the language
#define __global__
#define __device__
#define __host__
#define __forceinline__ inline
#define __launch_bounds__(...)
#define __restrict__
// Blocks run one after another. Not for kernels of clusters, whose blocks run together.
#define __shared__ static
#define __align__(n) __attribute__((aligned(n)))
#define TOVAMILL_DYNAMIC_SHARED(name) \
  unsigned char* name = reinterpret_cast<unsigned char*>(tovamill::emulation::shared_memory())

namespace tovamill::emulation {
// threadIdx and its like: numbers of the running thread, read when they are used.
template <Extent Place::*kExtent, unsigned Extent::*kAxis>
struct Number {
  operator unsigned() const { return (place().*kExtent).*kAxis; }
};
template <Extent Place::*kExtent>
struct Numbers {
  [[no_unique_address]] Number<kExtent, &Extent::x> x;
  [[no_unique_address]] Number<kExtent, &Extent::y> y;
  [[no_unique_address]] Number<kExtent, &Extent::z> z;
};
}  // namespace tovamill::emulation
inline constexpr tovamill::emulation::Numbers<&tovamill::emulation::Place::thread> threadIdx{};
inline constexpr tovamill::emulation::Numbers<&tovamill::emulation::Place::block> blockIdx{};
inline constexpr tovamill::emulation::Numbers<&tovamill::emulation::Place::block_size> blockDim{};
inline constexpr tovamill::emulation::Numbers<&tovamill::emulation::Place::grid_size> gridDim{};

struct dim3 {
  unsigned x, y, z;
  constexpr dim3(unsigned a = 1, unsigned b = 1, unsigned c = 1) : x(a), y(b), z(c) {}
};
struct alignas(8) float2 {
  float x, y;
};
struct alignas(16) float4 {
  float x, y, z, w;
};
struct alignas(8) uint2 {
  unsigned x, y;
};
struct alignas(16) uint4 {
  unsigned x, y, z, w;
};
using std::max;
using std::min;
inline float4 make_float4(float x, float y, float z, float w) { return {x, y, z, w}; }

inline void __syncthreads() { tovamill::emulation::wait_for_block(); }
inline void __syncwarp(unsigned mask = 0xffffffffu) { tovamill::emulation::exchange(mask, 0, 0); }
inline void __threadfence() {}

template <class T>
T __shfl_sync(unsigned mask, T value, int from, int = 32) {
  static_assert(sizeof(T) <= 8);
  std::uint64_t bits = 0;
  std::memcpy(&bits, &value, sizeof(T));
  bits = tovamill::emulation::exchange(mask, bits, static_cast<unsigned>(from));
  std::memcpy(&value, &bits, sizeof(T));
  return value;
}
template <class T>
T __shfl_xor_sync(unsigned mask, T value, int lanes, int = 32) {
  return __shfl_sync(mask, value,
                     static_cast<int>(tovamill::emulation::lane() ^ static_cast<unsigned>(lanes)));
}
template <class T>
T __shfl_down_sync(unsigned mask, T value, unsigned by, int = 32) {
  const unsigned from = tovamill::emulation::lane() + by;
  return __shfl_sync(mask, value, static_cast<int>(from < 32 ? from : tovamill::emulation::lane()));
}
inline unsigned __ballot_sync(unsigned mask, int value) {
  return tovamill::emulation::ballot(mask, value != 0);
}
inline unsigned __reduce_min_sync(unsigned mask, unsigned value) {
  std::uint64_t all[32];
  tovamill::emulation::exchange_all(mask, value, all);
  for (unsigned i = 0; i < 32; ++i) {
    if ((mask >> i & 1u) != 0) value = std::min(value, static_cast<unsigned>(all[i]));
  }
  return value;
}
inline int __any_sync(unsigned mask, int value) { return __ballot_sync(mask, value) != 0; }
inline int __popc(unsigned x) { return std::popcount(x); }
inline int __ffs(int x) { return x == 0 ? 0 : std::countr_zero(static_cast<unsigned>(x)) + 1; }
inline float __fmul_rn(float a, float b) { return a * b; }
inline float __fadd_rn(float a, float b) { return a + b; }
inline float __fmaf_rn(float a, float b, float c) { return std::fma(a, b, c); }
inline unsigned __float_as_uint(float x) { return std::bit_cast<unsigned>(x); }
inline float __uint_as_float(unsigned x) { return std::bit_cast<float>(x); }
inline int __float_as_int(float x) { return std::bit_cast<int>(x); }
inline float __int_as_float(int x) { return std::bit_cast<float>(x); }
inline float rsqrtf(float x) { return 1.0f / std::sqrt(x); }
inline void sincospi(double x, double* s, double* c) {
  *s = std::sin(x * 3.14159265358979323846);
  *c = std::cos(x * 3.14159265358979323846);
}
template <class T>
T __ldg(const T* p) {
  return *p;
}
inline unsigned atomicAdd(unsigned* p, unsigned n) {
  const unsigned before = *p;
  *p += n;
  return before;
}
inline int atomicAdd(int* p, int n) {
  const int before = *p;
  *p += n;
  return before;
}

// ---- the runtime
enum cudaError_t {
  cudaSuccess = 0,
  cudaErrorInvalidValue = 1,
  cudaErrorMemoryAllocation = 2,
  cudaErrorInsufficientDriver = 35,
  cudaErrorNoKernelImageForDevice = 209,
  cudaErrorNotReady = 600,
  cudaErrorIllegalAddress = 700,
  cudaErrorStreamCaptureUnsupported = 900,
};
enum cudaMemcpyKind {
  cudaMemcpyHostToDevice = 1,
  cudaMemcpyDeviceToHost = 2,
  cudaMemcpyDeviceToDevice = 3
};
enum {
  cudaStreamNonBlocking = 1,
  cudaEventDefault = 0,
  cudaEventDisableTiming = 2,
  cudaHostAllocDefault = 0
};
enum cudaFuncAttribute { cudaFuncAttributeMaxDynamicSharedMemorySize = 8 };
enum cudaLaunchAttributeID {
  cudaLaunchAttributeClusterDimension = 4,
  cudaLaunchAttributePriority = 8
};
enum cudaStreamCaptureMode {
  cudaStreamCaptureModeThreadLocal = 1,
  cudaStreamCaptureModeRelaxed = 2
};

using cudaStream_t = struct EmulatedStream*;
using cudaEvent_t = struct EmulatedEvent*;
using cudaGraph_t = struct EmulatedGraph*;
using cudaGraphExec_t = struct EmulatedGraph*;

struct cudaUUID_t {
  char bytes[16];
};
struct cudaDeviceProp {
  char name[256];
  cudaUUID_t uuid;
  std::size_t totalGlobalMem, sharedMemPerBlockOptin;
  int major, minor, multiProcessorCount, warpSize, integrated;
};
union cudaLaunchAttributeValue {
  struct {
    unsigned x, y, z;
  } clusterDim;
  int priority;
};
struct cudaLaunchAttribute {
  cudaLaunchAttributeID id;
  cudaLaunchAttributeValue val;
};
struct cudaLaunchConfig_t {
  dim3 gridDim, blockDim;
  std::size_t dynamicSmemBytes = 0;
  cudaStream_t stream = nullptr;
  cudaLaunchAttribute* attrs = nullptr;
  unsigned numAttrs = 0;
};

cudaError_t cudaGetDeviceCount(int* n);
cudaError_t cudaSetDevice(int device);
cudaError_t cudaDeviceGetStreamPriorityRange(int* last, int* first);
cudaError_t cudaGetDeviceProperties(cudaDeviceProp* p, int device);
cudaError_t cudaDriverGetVersion(int* version);
cudaError_t cudaRuntimeGetVersion(int* version);
cudaError_t cudaMemGetInfo(std::size_t* n_free, std::size_t* n_total);
cudaError_t cudaMalloc(void** p, std::size_t n);
cudaError_t cudaFree(void* p);
cudaError_t cudaHostAlloc(void** p, std::size_t n, unsigned flags);
cudaError_t cudaFreeHost(void* p);
cudaError_t cudaMemcpyAsync(void* to, const void* from, std::size_t n, cudaMemcpyKind kind,
                            cudaStream_t stream);
cudaError_t cudaMemcpy2DAsync(void* to, std::size_t to_pitch, const void* from,
                              std::size_t from_pitch, std::size_t width, std::size_t height,
                              cudaMemcpyKind kind, cudaStream_t stream);
cudaError_t cudaMemsetAsync(void* to, int value, std::size_t n, cudaStream_t stream);
cudaError_t cudaStreamCreateWithFlags(cudaStream_t* stream, unsigned flags);
cudaError_t cudaStreamDestroy(cudaStream_t stream);
cudaError_t cudaStreamSynchronize(cudaStream_t stream);
cudaError_t cudaStreamWaitEvent(cudaStream_t stream, cudaEvent_t event, unsigned flags = 0);
cudaError_t cudaEventCreateWithFlags(cudaEvent_t* event, unsigned flags);
cudaError_t cudaEventDestroy(cudaEvent_t event);
cudaError_t cudaEventRecord(cudaEvent_t event, cudaStream_t stream);
cudaError_t cudaEventSynchronize(cudaEvent_t event);
cudaError_t cudaEventQuery(cudaEvent_t event);
cudaError_t cudaEventElapsedTime(float* ms, cudaEvent_t from, cudaEvent_t to);
cudaError_t cudaStreamBeginCapture(cudaStream_t stream, cudaStreamCaptureMode mode);
cudaError_t cudaStreamEndCapture(cudaStream_t stream, cudaGraph_t* graph);
cudaError_t cudaGraphInstantiate(cudaGraphExec_t* exec, cudaGraph_t graph,
                                 unsigned long long flags = 0);
cudaError_t cudaGraphDestroy(cudaGraph_t graph);
cudaError_t cudaGraphExecDestroy(cudaGraphExec_t exec);
cudaError_t cudaGraphLaunch(cudaGraphExec_t exec, cudaStream_t stream);
cudaError_t cudaGetLastError();
const char* cudaGetErrorName(cudaError_t error);
const char* cudaGetErrorString(cudaError_t error);
struct cudaFuncAttributes {
  int numRegs;
};
template <class Kernel>
cudaError_t cudaFuncGetAttributes(cudaFuncAttributes*, Kernel*);

namespace tovamill::emulation {

// The most bytes of dynamic shared memory that a kernel's launches may ask for. What kernels
// declare is not known here: 16 KiB of the usual 48.
inline std::map<const void*, std::size_t>& shared_limits() {
  static std::map<const void*, std::size_t> limits;
  return limits;
}
inline constexpr std::size_t kUsualSharedBytes = 32 << 10, kMostSharedBytes = 163 << 10;

// Puts work behind what the stream has, or into the graph that is being captured.
cudaError_t enqueue(cudaStream_t stream, std::function<void()> work);
// Whether work is done when it is put there.
void set_eager(bool eager);
// Does all that can be done now.
void work_off();
// In which order the operations of several streams are done from now on.
void set_stream_order(std::uint64_t seed);
// What has happened since the last call.
struct StreamCounts {
  std::uint64_t n_waits = 0;  // of the host for streams and events
  std::uint64_t n_graphs_made = 0, n_graphs_launched = 0;
};
StreamCounts take_stream_counts();
// What GEMMs of at most so many rows do from now on.
struct GemmFaults {
  std::int32_t few_rows = 0;
  int n_fickle = 0, n_refusing = 0;  // of the best algorithms: that sum in another order, refuse
  // The best for so many rows sums all rows in another order.
  std::int32_t contrary_rows = 0;
};
// GEMMs since the last call by an algorithm that was asked for for so many rows.
std::uint64_t take_gemm_by(std::int32_t asked_rows);
void set_gemm_faults(const GemmFaults& faults);
// What is found on the machine; how many devices there are, or why they are not told.
struct Machine {
  int n_devices = 1, major = 9, driver_version = 13000, shared_kib = 227;
  cudaError_t count_error = cudaSuccess, code_error = cudaSuccess;
  std::uint64_t n_operations = UINT64_MAX;  // that streams take before the device fails for good
};
void set_machine(const Machine& machine);
const Machine& machine();
// Bytes that cudaMalloc gives at the most, together.
void set_device_bytes(std::size_t n);
// And in one block, whatever is said to be free.
void set_largest_block(std::size_t n);

}  // namespace tovamill::emulation

template <class Kernel>
cudaError_t cudaFuncSetAttribute(Kernel* kernel, cudaFuncAttribute, int value) {
  const auto n_bytes = static_cast<std::size_t>(value);
  if (n_bytes > tovamill::emulation::kMostSharedBytes) return cudaErrorInvalidValue;
  tovamill::emulation::shared_limits()[reinterpret_cast<const void*>(kernel)] = n_bytes;
  return cudaSuccess;
}

template <class... Expected, class... Actual>
cudaError_t cudaLaunchKernelEx(const cudaLaunchConfig_t* config, void (*kernel)(Expected...),
                               Actual&&... arguments) {
  tovamill::emulation::Launch launch{
      .grid = {config->gridDim.x, config->gridDim.y, config->gridDim.z},
      .block = {config->blockDim.x, config->blockDim.y, config->blockDim.z},
      .cluster = 1,
      .shared_bytes = config->dynamicSmemBytes};
  const auto& limits = tovamill::emulation::shared_limits();
  const auto limit = limits.find(reinterpret_cast<const void*>(kernel));
  if (launch.shared_bytes >
      (limit != limits.end() ? limit->second : tovamill::emulation::kUsualSharedBytes))
    return cudaErrorInvalidValue;
  for (unsigned i = 0; i < config->numAttrs; ++i) {
    if (config->attrs[i].id == cudaLaunchAttributeClusterDimension)
      launch.cluster = config->attrs[i].val.clusterDim.x;
  }
  std::tuple<Expected...> values(std::forward<Actual>(arguments)...);
  return tovamill::emulation::enqueue(config->stream, [launch, kernel, values] {
    tovamill::emulation::run(launch, [&] { std::apply(kernel, values); });
  });
}

template <class Kernel>
cudaError_t cudaFuncGetAttributes(cudaFuncAttributes* attributes, Kernel*) {
  *attributes = {};
  return tovamill::emulation::machine().code_error;
}
