// Rates of GEMMs and of memory. Of all algorithms of cuBLAS the fastest is looked for, however it
// sums; gemm.cc chooses those whose rows do not depend on each other.
#include "kernels/cuda/gemm/measure.h"

#include <algorithm>
#include <array>
#include <functional>
#include <span>
#include <string>
#include <vector>

#include "kernels/cuda/device/device.h"
#include "kernels/cuda/gemm/cublas.h"
#include "kernels/gpu_measure.h"
#include "kernels/types/error.h"

namespace tovamill::cuda {
namespace {

constexpr std::size_t kWorkspaceBytes = 64u << 20;
constexpr std::size_t kMaxAlgorithms = 64;
constexpr double kBatchSeconds = 0.01;  // timed at once, by events: launches then cost nothing
constexpr int kQuickBatches = 3;        // of each algorithm

class TrialMemory {
 public:
  explicit TrialMemory(std::size_t n_bytes) : data_(device_malloc(n_bytes)) {}
  ~TrialMemory() { device_free(data_); }
  TrialMemory(const TrialMemory&) = delete;
  TrialMemory& operator=(const TrialMemory&) = delete;
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
double median_seconds(const Stream& stream, double seconds, const std::function<void()>& work) {
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

// GEMMs of n_rows rows, one shape after another, in memory for the largest.
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
    preference_.set(CUBLASLT_MATMUL_PREF_MAX_WORKSPACE_BYTES, std::uint64_t{kWorkspaceBytes});
    for (const auto& [memory, n] : {std::pair{&w_, most_weights}, std::pair{&x_, most_in}}) {
      if (input.dtype == ComputeType::bf16) {
        fill_with_noise(memory->as<Bf16>(), n, stream_);
      } else {
        fill_with_noise(memory->as<float>(), n, stream_);
      }
    }
  }

  // The fastest algorithm of all that cuBLAS has for the shape, by a few batches each; then its
  // median over GemmInput::seconds_each.
  GemmTiming measure(const GemmShape& s) {
    const Operands o{.a{type_, s.n_in, s.n_out},
                     .b{type_, s.n_in, input_.n_rows},
                     .c{type_, s.n_out, input_.n_rows}};
    const std::vector<cublasLtMatmulAlgo_t> algorithms = find_algorithms(o);
    GemmTiming best;
    const cublasLtMatmulAlgo_t* best_algorithm = nullptr;
    for (const cublasLtMatmulAlgo_t& algorithm : algorithms) {
      if (multiply(o, algorithm) != CUBLAS_STATUS_SUCCESS) continue;
      const double seconds = time(o, algorithm, 0.0);
      ++best.n_algorithms;
      if (best_algorithm != nullptr && seconds >= best.seconds) continue;
      best.seconds = seconds;
      best_algorithm = &algorithm;
    }
    if (best_algorithm == nullptr)
      throw Error(ExitCode::internal, "cuBLAS has no algorithm for GEMMs of " +
                                          std::to_string(s.n_out) + " x " + std::to_string(s.n_in));
    best.seconds = time(o, *best_algorithm, input_.seconds_each);
    return best;
  }

 private:
  // c (n_out, n_rows) = a (n_in, n_out)^T b (n_in, n_rows), columns first.
  struct Operands {
    MatrixLayout a, b, c;
  };

  std::vector<cublasLtMatmulAlgo_t> find_algorithms(const Operands& o) const {
    std::array<cublasLtMatmulHeuristicResult_t, kMaxAlgorithms> found{};
    int n_found = 0;
    TOVAMILL_CUBLAS(cublasLtMatmulAlgoGetHeuristic(
        matmul_.handle(), matmul_.description(), o.a.get(), o.b.get(), o.c.get(), o.c.get(),
        preference_.get(), std::clamp(input_.most_algorithms, 1, static_cast<int>(found.size())),
        found.data(), &n_found));
    std::vector<cublasLtMatmulAlgo_t> algorithms;
    for (const cublasLtMatmulHeuristicResult_t& f :
         std::span(found).first(static_cast<std::size_t>(n_found))) {
      if (f.state == CUBLAS_STATUS_SUCCESS) algorithms.push_back(f.algo);
    }
    return algorithms;
  }

  cublasStatus_t multiply(const Operands& o, const cublasLtMatmulAlgo_t& algorithm) const {
    const float one = 1.0f, zero = 0.0f;
    return cublasLtMatmul(matmul_.handle(), matmul_.description(), &one, w_.as(), o.a.get(),
                          x_.as(), o.b.get(), &zero, out_.as(), o.c.get(), out_.as(), o.c.get(),
                          &algorithm, workspace_.as(), kWorkspaceBytes, stream_.get());
  }

  double time(const Operands& o, const cublasLtMatmulAlgo_t& algorithm, double seconds) const {
    return median_seconds(stream_, seconds, [&] { TOVAMILL_CUBLAS(multiply(o, algorithm)); });
  }

  std::size_t bytes() const { return element_bytes(input_.dtype); }

  const GemmInput& input_;
  cudaDataType_t type_;
  Stream stream_;
  TrialMemory w_, x_, out_, workspace_;
  TransposedMatmul matmul_;
  MatmulPreference preference_;
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
  constexpr std::uint64_t kMax = std::uint64_t{8} << 30, kAlign = 512;
  constexpr double kSeconds = 0.3;
  cuda::choose_device(device_index);
  if (n_bytes == 0) n_bytes = std::min(kMax, cuda::device_facts(device_index).free_bytes / 8);
  n_bytes = std::max<std::uint64_t>(n_bytes / kAlign, 1) * kAlign;
  const cuda::Stream stream;
  const cuda::TrialMemory memory(n_bytes), words(cuda::kReaders * sizeof(std::uint32_t));
  cuda::fill_with_noise(memory.as<float>(), n_bytes / sizeof(float), stream);
  auto* half = memory.as<std::byte>();
  const double copy_s = cuda::median_seconds(stream, kSeconds, [&] {
    TOVAMILL_CUDA(cudaMemcpyAsync(half + n_bytes / 2, half, n_bytes / 2, cudaMemcpyDeviceToDevice,
                                  stream.get()));
  });
  const double read_s = cuda::median_seconds(stream, kSeconds, [&] {
    cuda::read_all(memory.as(), n_bytes, words.as<std::uint32_t>(), stream);
  });
  const auto n = static_cast<double>(n_bytes);
  return {.copy = n / copy_s, .read = n / read_s};
}

}  // namespace tovamill
