#include "kernels/cuda/gemm/gemm.h"

#include <algorithm>
#include <array>
#include <map>
#include <numeric>

#include "kernels/cuda/gemm/cublas.h"

namespace tovamill::cuda {
namespace {

cudaDataType_t type_of(ComputeType t) { return t == ComputeType::bf16 ? CUDA_R_16BF : CUDA_R_32F; }

// Bytes whose multiples rows begin at: a GEMM may begin at any row of a step. 256 is what cuBLAS
// takes for granted.
std::uint32_t alignment(std::int32_t n_cols, ComputeType type) {
  return static_cast<std::uint32_t>(
      std::gcd(static_cast<std::size_t>(n_cols) * element_bytes(type), Arena::kAlign));
}

// The algorithms that cuBLAS may choose of: those that sum each number in one pass, where rows of x
// and out begin at multiples of so many bytes.
void set_preference(MatmulPreference& preference, std::uint32_t in_alignment,
                    std::uint32_t out_alignment) {
  preference.set(CUBLASLT_MATMUL_PREF_MAX_WORKSPACE_BYTES, std::uint64_t{Gemm::kWorkspaceBytes});
  preference.set(CUBLASLT_MATMUL_PREF_REDUCTION_SCHEME_MASK,
                 std::uint32_t{CUBLASLT_REDUCTION_SCHEME_NONE});
  preference.set(CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_B_BYTES, in_alignment);
  preference.set(CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_C_BYTES, out_alignment);
  preference.set(CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_D_BYTES, out_alignment);
}

bool sums_in_one_pass(const cublasLtMatmulAlgo_t& algorithm) {
  std::int32_t splits = 1;
  std::size_t written = 0;
  return cublasLtMatmulAlgoConfigGetAttribute(&algorithm, CUBLASLT_ALGO_CONFIG_SPLITK_NUM, &splits,
                                              sizeof splits, &written) == CUBLAS_STATUS_SUCCESS &&
         (splits == 0 || splits == 1);
}

std::string shown(const Operand& w, std::int32_t n_rows) {
  return std::to_string(n_rows) + " rows by a matrix of " + std::to_string(w.n_out) + " x " +
         std::to_string(w.n_in);
}

}  // namespace

struct Gemm::Impl {
  ComputeType type;
  TransposedMatmul matmul;
  std::map<GemmProblem, cublasLtMatmulAlgo_t> algorithms;
};

Gemm::Gemm(ComputeType type) : impl_(std::make_unique<Impl>()) { impl_->type = type; }

Gemm::~Gemm() = default;

// What sums each number in one pass sums it in an order that does not depend on how many rows
// there are, unless it treats the last rows otherwise.
bool Gemm::choose(const GemmProblem& p, std::int32_t n_rows, int i) {
  const MatrixLayout a(type_of(impl_->type), p.n_in, p.n_out),
      b(type_of(impl_->type), p.n_in, n_rows), c(type_of(p.out_type), p.n_out, n_rows);
  MatmulPreference preference;
  set_preference(preference, alignment(p.n_in, impl_->type), alignment(p.n_out, p.out_type));
  std::array<cublasLtMatmulHeuristicResult_t, 32> found{};
  int n_found = 0;
  const cublasStatus_t status = cublasLtMatmulAlgoGetHeuristic(
      impl_->matmul.handle(), impl_->matmul.description(), a.get(), b.get(), c.get(), c.get(),
      preference.get(), static_cast<int>(found.size()), found.data(), &n_found);
  if (status == CUBLAS_STATUS_NOT_SUPPORTED) return false;
  check_cublas(status, "cublasLtMatmulAlgoGetHeuristic");
  for (int f = 0; f < n_found; ++f) {
    const cublasLtMatmulHeuristicResult_t& result = found[static_cast<std::size_t>(f)];
    if (result.state != CUBLAS_STATUS_SUCCESS || !sums_in_one_pass(result.algo)) continue;
    if (i-- > 0) continue;
    impl_->algorithms[p] = result.algo;
    return true;
  }
  return false;
}

void Gemm::forget(const GemmProblem& problem) { impl_->algorithms.erase(problem); }

std::int32_t Gemm::size_of(std::int32_t n_rows) {
  const auto at = std::lower_bound(kSizes.begin(), kSizes.end() - 1, n_rows);
  return static_cast<std::int32_t>(at - kSizes.begin()) + 1;
}

// cuBLAS counts columns first: out^T (n_out, n_rows) = W (n_in, n_out)^T x^T (n_in, n_rows).
void Gemm::multiply(const Operand& w, const void* x, std::int32_t n_rows, RowKind kind, void* out,
                    ComputeType out_type, bool adds, void* workspace, const Stream& stream) {
  if (n_rows == 0) return;
  const GemmProblem problem{w.n_out, w.n_in, kind, out_type, adds};
  GemmProblem sized = problem;
  sized.size = size_of(n_rows);
  auto at = impl_->algorithms.find(sized);
  if (at == impl_->algorithms.end()) at = impl_->algorithms.find(problem);
  if (at == impl_->algorithms.end()) {
    if (!choose(problem, usual_rows(kind), 0))
      throw GemmRefused("cuBLAS has no algorithm for GEMMs of " + shown(w, usual_rows(kind)));
    at = impl_->algorithms.find(problem);
  }
  const MatrixLayout a(type_of(impl_->type), w.n_in, w.n_out),
      b(type_of(impl_->type), w.n_in, n_rows), c(type_of(out_type), w.n_out, n_rows);
  const float one = 1.0f, beta = adds ? 1.0f : 0.0f;
  const cublasStatus_t status = cublasLtMatmul(
      impl_->matmul.handle(), impl_->matmul.description(), &one, w.data, a.get(), x, b.get(), &beta,
      out, c.get(), out, c.get(), &at->second, workspace, kWorkspaceBytes, stream.get());
  if (status == CUBLAS_STATUS_NOT_SUPPORTED || status == CUBLAS_STATUS_INVALID_VALUE)
    throw GemmRefused("cuBLAS does not multiply " + shown(w, n_rows) + ": " +
                      cublasLtGetStatusString(status));
  check_cublas(status, ("cublasLtMatmul of " + shown(w, n_rows)).c_str());
}

}  // namespace tovamill::cuda
