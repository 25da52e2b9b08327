// What stands for kernels/cuda/gemm/measure.cc in builds without CUDA.
#include "kernels/gpu_measure.h"
#include "kernels/types/error.h"

namespace tovamill {
namespace {

[[noreturn]] void refuse() {
  throw Error(ExitCode::no_device,
              "this build has no CUDA to measure a GPU with (build with -DTOVAMILL_CUDA=ON)");
}

}  // namespace

std::string cublas_version() { return ""; }

std::vector<GemmTiming> measure_gpu_gemm(const GemmInput&, std::span<const GemmShape>) { refuse(); }

GpuBandwidth measure_gpu_bandwidth(int, std::uint64_t) { refuse(); }

}  // namespace tovamill
