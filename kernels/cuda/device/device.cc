#include "kernels/cuda/device/device.h"

#include <algorithm>
#include <cstdio>

#include "kernels/cuda/device/runtime.h"
#include "kernels/gpu_info.h"

namespace tovamill::cuda {
namespace {

constexpr int kOldestMajor = 8;  // kernels are built for compute capability 8.0 and later
constexpr std::uint64_t kFillPercent = 92;
constexpr std::uint64_t kKeptFree = 256u << 20;  // for the driver's own needs

std::string version_text(int version) {
  return std::to_string(version / 1000) + "." + std::to_string(version % 1000 / 10);
}

// Why this process can use no GPU at all; where it sees some, `n` of them, nothing.
std::string rejection_of_all(int& n) {
  int driver = 0, runtime = 0;
  if (cudaDriverGetVersion(&driver) != cudaSuccess || driver == 0) {
    cudaGetLastError();  // it is told
    return "no NVIDIA driver is loaded on this machine";
  }
  TOVAMILL_CUDA(cudaRuntimeGetVersion(&runtime));
  const cudaError_t error = cudaGetDeviceCount(&n);
  if (error != cudaSuccess) {
    cudaGetLastError();
    if (error == cudaErrorInsufficientDriver || driver / 1000 < runtime / 1000)
      return "the NVIDIA driver is for CUDA " + version_text(driver) + ", this program needs " +
             version_text(runtime) + ": a newer driver is needed";
    return std::string("CUDA finds no GPU: ") + cudaGetErrorString(error);
  }
  return n > 0 ? "" : "this process sees no GPU (CUDA_VISIBLE_DEVICES, or the job's --gpus)";
}

std::string rejection_of(const DeviceFacts& facts) {
  if (facts.major >= kOldestMajor) return "";
  return facts.name + " has compute capability " + std::to_string(facts.major) + "." +
         std::to_string(facts.minor) + ", 8.0 is the least that is supported";
}

}  // namespace

int choose_device(int wanted) {
  const auto refuse = [](const std::string& why) {
    throw Error(ExitCode::no_device,
                "--device cuda: " + why + "; use --device cpu, or see tovamill doctor");
  };
  int n = 0;
  if (const std::string why = rejection_of_all(n); !why.empty()) refuse(why);
  if (wanted < 0 || wanted >= n)
    refuse("GPU " + std::to_string(wanted) + " is asked for, but this process sees " +
           std::to_string(n));
  const DeviceFacts facts = device_facts(wanted);
  if (const std::string why = rejection_of(facts); !why.empty()) refuse(why);
  TOVAMILL_CUDA(cudaSetDevice(wanted));
  return wanted;
}

DeviceFacts device_facts(int device) {
  cudaDeviceProp p{};
  TOVAMILL_CUDA(cudaGetDeviceProperties(&p, device));
  TOVAMILL_CUDA(cudaSetDevice(device));
  std::size_t n_free = 0, n_total = 0;
  TOVAMILL_CUDA(cudaMemGetInfo(&n_free, &n_total));
  char size[32];
  std::snprintf(size, sizeof size, "%.1f GiB",
                static_cast<double>(n_total) / (1024.0 * 1024.0 * 1024.0));
  return {
      .name = std::string(p.name) + ", " + std::to_string(p.multiProcessorCount) + " SMs, " + size,
      .index = device,
      .major = p.major,
      .minor = p.minor,
      .total_bytes = n_total,
      .free_bytes = n_free,
      .block_shared_bytes = p.sharedMemPerBlockOptin};
}

std::uint64_t wanted_bytes(const DeviceFacts& facts, std::uint64_t wanted) {
  return wanted > 0 ? wanted : facts.total_bytes / 100 * kFillPercent;
}

std::uint64_t arena_bytes(const DeviceFacts& facts, std::uint64_t wanted) {
  const std::uint64_t free = facts.free_bytes > kKeptFree ? facts.free_bytes - kKeptFree : 0;
  return std::min(free, wanted_bytes(facts, wanted));
}

}  // namespace tovamill::cuda

namespace tovamill {

std::vector<Gpu> usable_gpus() {
  std::vector<Gpu> gpus;
  int n = 0;
  if (!cuda::rejection_of_all(n).empty()) return gpus;
  for (int i = 0; i < n; ++i) {
    cudaDeviceProp p{};
    if (cudaGetDeviceProperties(&p, i) != cudaSuccess || p.major < cuda::kOldestMajor) continue;
    std::uint64_t hash = 0xcbf29ce484222325u;  // FNV-1a
    for (const char c : p.uuid.bytes)
      hash = (hash ^ static_cast<unsigned char>(c)) * 0x100000001b3u;
    gpus.push_back({.index = i, .identity = hash, .total_bytes = p.totalGlobalMem, .name = p.name});
  }
  return gpus;
}

GpuInfo gpu_info() {
  GpuInfo info{.is_built = true, .versions = "", .rejection = "", .devices = {}};
  int driver = 0, runtime = 0, n = 0;
  if (cudaRuntimeGetVersion(&runtime) == cudaSuccess)
    info.versions = "CUDA " + cuda::version_text(runtime);
  if (cudaDriverGetVersion(&driver) == cudaSuccess && driver > 0)
    info.versions += ", driver for CUDA " + cuda::version_text(driver);
  info.rejection = cuda::rejection_of_all(n);
  bool any = false;
  for (int i = 0; info.rejection.empty() && i < n; ++i) {
    const cuda::DeviceFacts facts = cuda::device_facts(i);
    const std::string why = cuda::rejection_of(facts);
    info.devices.push_back(why.empty() ? facts.name : why);
    any = any || why.empty();
  }
  if (info.rejection.empty() && !any) info.rejection = "no GPU of a supported architecture";
  return info;
}

}  // namespace tovamill
