// Includes cuBLAS beside gemm.cc, which chooses one algorithm that its rows can rely on; here
// the fastest is looked for, however it sums.
#include "kernels/cuda/gemm/measure.h"

#include <cublasLt.h>

#include <algorithm>
#include <array>
#include <functional>
#include <string>
#include <vector>

#include "kernels/cuda/device/device.h"
#include "kernels/gpu_measure.h"
#include "kernels/types/error.h"

namespace tovamill::cuda {
namespace {

constexpr std::size_t kWorkspaceBytes = 64u << 20;
constexpr std::size_t kMostAlgorithms = 64;
constexpr double kBatchSeconds = 0.01;  // timed at once, by events: launches then cost nothing
constexpr int kQuickBatches = 3;        // of each algorithm

void check_blas(cublasStatus_t status, const char* call) {
  if (status == CUBLAS_STATUS_SUCCESS) return;
  throw Error(ExitCode::internal,
              std::string("cuBLAS: ") + call + ": " + cublasLtGetStatusString(status));
}
#define TOVAMILL_CUBLAS(call) check_blas((call), #call)

class DeviceMemory {
 public:
  explicit DeviceMemory(std::size_t n_bytes) : data_(device_malloc(n_bytes)) {}
  ~DeviceMemory() { device_free(data_); }
  DeviceMemory(const DeviceMemory&) = delete;
  DeviceMemory& operator=(const DeviceMemory&) = delete;
  template <class T = void>
  T* as() const {
    return static_cast<T*>(data_);
  }

 private:
  void* data_;
};

double median(std::vector<double> values) {
  std::sort(values.begin(), values.end());
  return values[values.size() / 2];
}

// Seconds of one of the `n` calls of `work` on the stream, by events around them.
double timed(const Stream& stream, int n, const std::function<void()>& work) {
  const Event first(true), last(true);
  first.record(stream);
  for (int i = 0; i < n; ++i) work();
  last.record(stream);
  last.synchronize();
  float ms = 0.0f;
  TOVAMILL_CUDA(cudaEventElapsedTime(&ms, first.get(), last.get()));
  return static_cast<double>(ms) * 1e-3 / n;
}

// The median of batches that take `seconds` together, at least kQuickBatches.
double settled(const Stream& stream, double seconds, const std::function<void()>& work) {
  work();  // what is loaded at first is not timed
  const double once = std::max(1e-6, timed(stream, 1, work));
  const int n = std::clamp(static_cast<int>(kBatchSeconds / once), 1, 1000);
  std::vector<double> batches;
  for (double left = seconds;
       left > 0.0 || batches.size() < static_cast<std::size_t>(kQuickBatches);) {
    batches.push_back(timed(stream, n, work));
    left -= batches.back() * n;
  }
  return median(batches);
}

// A column-major matrix, dense.
class Layout {
 public:
  Layout(cudaDataType_t type, std::int32_t rows, std::int32_t cols) {
    TOVAMILL_CUBLAS(cublasLtMatrixLayoutCreate(&layout_, type, static_cast<std::uint64_t>(rows),
                                               static_cast<std::uint64_t>(cols), rows));
  }
  ~Layout() { cublasLtMatrixLayoutDestroy(layout_); }
  Layout(const Layout&) = delete;
  Layout& operator=(const Layout&) = delete;
  cublasLtMatrixLayout_t get() const { return layout_; }

 private:
  cublasLtMatrixLayout_t layout_ = nullptr;
};

class GemmBench {
 public:
  GemmBench(const GemmInput& input, std::size_t most_weights, std::size_t most_in,
            std::size_t most_out)
      : input_(input),
        type_(input.dtype == ComputeType::bf16 ? CUDA_R_16BF : CUDA_R_32F),
        w_(most_weights * bytes()),
        x_(most_in * bytes()),
        out_(most_out * bytes()),
        workspace_(kWorkspaceBytes) {
    TOVAMILL_CUBLAS(cublasLtCreate(&handle_));
    TOVAMILL_CUBLAS(cublasLtMatmulDescCreate(&description_, CUBLAS_COMPUTE_32F, CUDA_R_32F));
    const cublasOperation_t transposed = CUBLAS_OP_T;
    TOVAMILL_CUBLAS(cublasLtMatmulDescSetAttribute(description_, CUBLASLT_MATMUL_DESC_TRANSA,
                                                   &transposed, sizeof transposed));
    TOVAMILL_CUBLAS(cublasLtMatmulPreferenceCreate(&preference_));
    TOVAMILL_CUBLAS(cublasLtMatmulPreferenceSetAttribute(preference_,
                                                         CUBLASLT_MATMUL_PREF_MAX_WORKSPACE_BYTES,
                                                         &kWorkspaceBytes, sizeof kWorkspaceBytes));
    for (const auto& [memory, n] : {std::pair{&w_, most_weights}, std::pair{&x_, most_in}}) {
      if (input.dtype == ComputeType::bf16) {
        fill_with_noise(memory->as<Bf16>(), n, stream_);
      } else {
        fill_with_noise(memory->as<float>(), n, stream_);
      }
    }
  }
  ~GemmBench() {
    if (preference_ != nullptr) cublasLtMatmulPreferenceDestroy(preference_);
    if (description_ != nullptr) cublasLtMatmulDescDestroy(description_);
    if (handle_ != nullptr) cublasLtDestroy(handle_);
  }
  GemmBench(const GemmBench&) = delete;
  GemmBench& operator=(const GemmBench&) = delete;

  GemmTiming measure(const GemmShape& s) {
    const Layout a(type_, s.n_in, s.n_out), b(type_, s.n_in, input_.n_rows),
        c(type_, s.n_out, input_.n_rows);
    std::array<cublasLtMatmulHeuristicResult_t, kMostAlgorithms> found{};
    int n_found = 0;
    TOVAMILL_CUBLAS(cublasLtMatmulAlgoGetHeuristic(
        handle_, description_, a.get(), b.get(), c.get(), c.get(), preference_,
        std::clamp(input_.most_algorithms, 1, static_cast<int>(found.size())), found.data(),
        &n_found));
    const float one = 1.0f, zero = 0.0f;
    const auto multiply = [&](const cublasLtMatmulAlgo_t& algorithm) {
      return cublasLtMatmul(handle_, description_, &one, w_.as(), a.get(), x_.as(), b.get(), &zero,
                            out_.as(), c.get(), out_.as(), c.get(), &algorithm, workspace_.as(),
                            kWorkspaceBytes, stream_.get());
    };
    GemmTiming best;
    const cublasLtMatmulAlgo_t* best_algorithm = nullptr;
    for (int i = 0; i < n_found; ++i) {
      const cublasLtMatmulHeuristicResult_t& f = found[static_cast<std::size_t>(i)];
      if (f.state != CUBLAS_STATUS_SUCCESS || multiply(f.algo) != CUBLAS_STATUS_SUCCESS) continue;
      const double seconds = settled(stream_, 0.0, [&] { TOVAMILL_CUBLAS(multiply(f.algo)); });
      ++best.n_algorithms;
      if (best_algorithm != nullptr && seconds >= best.seconds) continue;
      best.seconds = seconds;
      best_algorithm = &f.algo;
    }
    if (best_algorithm == nullptr)
      throw Error(ExitCode::internal, "cuBLAS has no algorithm for products of " +
                                          std::to_string(s.n_out) + " x " + std::to_string(s.n_in));
    best.seconds =
        settled(stream_, input_.seconds_each, [&] { TOVAMILL_CUBLAS(multiply(*best_algorithm)); });
    return best;
  }

 private:
  std::size_t bytes() const { return element_bytes(input_.dtype); }

  const GemmInput& input_;
  cudaDataType_t type_;
  Stream stream_;
  DeviceMemory w_, x_, out_, workspace_;
  cublasLtHandle_t handle_ = nullptr;
  cublasLtMatmulDesc_t description_ = nullptr;
  cublasLtMatmulPreference_t preference_ = nullptr;
};

}  // namespace
}  // namespace tovamill::cuda

namespace tovamill {

std::string cublas_version() {
  const std::size_t v = cublasLtGetVersion();  // 130100 is 13.1.0
  return std::to_string(v / 10000) + "." + std::to_string(v / 100 % 100) + "." +
         std::to_string(v % 100);
}

std::vector<GemmTiming> measure_gpu_gemm(const GemmInput& input,
                                         std::span<const GemmShape> shapes) {
  cuda::choose_device(input.device_index);
  const auto rows = static_cast<std::size_t>(input.n_rows);
  std::size_t weights = 0, in = 0, out = 0;
  for (const GemmShape& s : shapes) {
    const auto n_out = static_cast<std::size_t>(s.n_out), n_in = static_cast<std::size_t>(s.n_in);
    weights = std::max(weights, n_out * n_in);
    in = std::max(in, rows * n_in);
    out = std::max(out, rows * n_out);
  }
  if (weights == 0 || in == 0) return std::vector<GemmTiming>(shapes.size());
  cuda::GemmBench bench(input, weights, in, out);
  std::vector<GemmTiming> timings;
  for (const GemmShape& s : shapes) timings.push_back(bench.measure(s));
  return timings;
}

GpuBandwidth measure_gpu_bandwidth(int device_index, std::uint64_t n_bytes) {
  constexpr std::uint64_t kMost = std::uint64_t{8} << 30, kAlign = 512;
  constexpr double kSeconds = 0.3;
  cuda::choose_device(device_index);
  if (n_bytes == 0) n_bytes = std::min(kMost, cuda::device_facts(device_index).free_bytes / 8);
  n_bytes = std::max<std::uint64_t>(n_bytes / kAlign, 1) * kAlign;
  const cuda::Stream stream;
  const cuda::DeviceMemory memory(n_bytes), words(cuda::kReaders * sizeof(std::uint32_t));
  cuda::fill_with_noise(memory.as<float>(), n_bytes / sizeof(float), stream);
  auto* half = memory.as<std::byte>();
  const double copy_s = cuda::settled(stream, kSeconds, [&] {
    TOVAMILL_CUDA(cudaMemcpyAsync(half + n_bytes / 2, half, n_bytes / 2, cudaMemcpyDeviceToDevice,
                                  stream.get()));
  });
  const double read_s = cuda::settled(stream, kSeconds, [&] {
    cuda::read_all(memory.as(), n_bytes, words.as<std::uint32_t>(), stream);
  });
  const auto n = static_cast<double>(n_bytes);
  return {.copy = n / copy_s, .read = n / read_s};
}

}  // namespace tovamill
