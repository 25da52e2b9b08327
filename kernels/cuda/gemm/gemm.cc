#include "kernels/cuda/gemm/gemm.h"

#include <cublasLt.h>

#include <algorithm>
#include <array>
#include <map>
#include <numeric>

namespace tovamill::cuda {
namespace {

void check_blas(cublasStatus_t status, const char* call) {
  if (status == CUBLAS_STATUS_SUCCESS) return;
  if (status == CUBLAS_STATUS_ALLOC_FAILED)
    throw OutOfMemory(std::string("out of GPU memory in ") + call);
  const std::string text = std::string("cuBLAS: ") + call + ": " + cublasLtGetStatusString(status);
  if (status == CUBLAS_STATUS_EXECUTION_FAILED || status == CUBLAS_STATUS_INTERNAL_ERROR)
    throw DeviceFailed(text);
  throw Error(ExitCode::internal, text);
}
#define TOVAMILL_CUBLAS(call) check_blas((call), #call)

cudaDataType_t type_of(ElementType t) { return t == ElementType::bf16 ? CUDA_R_16BF : CUDA_R_32F; }

// A column-major (rows, cols) matrix, dense.
class Layout {
 public:
  Layout(ElementType type, std::int32_t rows, std::int32_t cols) {
    TOVAMILL_CUBLAS(cublasLtMatrixLayoutCreate(&layout_, type_of(type),
                                               static_cast<std::uint64_t>(rows),
                                               static_cast<std::uint64_t>(cols), rows));
  }
  ~Layout() { cublasLtMatrixLayoutDestroy(layout_); }
  Layout(const Layout&) = delete;
  Layout& operator=(const Layout&) = delete;
  cublasLtMatrixLayout_t get() const { return layout_; }

 private:
  cublasLtMatrixLayout_t layout_ = nullptr;
};

// What cuBLAS may choose of, where rows of x and out begin at multiples of so many bytes.
class Preference {
 public:
  Preference(std::uint32_t in_alignment, std::uint32_t out_alignment) {
    TOVAMILL_CUBLAS(cublasLtMatmulPreferenceCreate(&preference_));
    set(CUBLASLT_MATMUL_PREF_MAX_WORKSPACE_BYTES, std::uint64_t{Gemm::kWorkspaceBytes});
    set(CUBLASLT_MATMUL_PREF_REDUCTION_SCHEME_MASK, std::uint32_t{CUBLASLT_REDUCTION_SCHEME_NONE});
    set(CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_B_BYTES, in_alignment);
    set(CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_C_BYTES, out_alignment);
    set(CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_D_BYTES, out_alignment);
  }
  ~Preference() { cublasLtMatmulPreferenceDestroy(preference_); }
  Preference(const Preference&) = delete;
  Preference& operator=(const Preference&) = delete;
  cublasLtMatmulPreference_t get() const { return preference_; }

 private:
  template <class T>
  void set(cublasLtMatmulPreferenceAttributes_t attribute, T value) {
    TOVAMILL_CUBLAS(
        cublasLtMatmulPreferenceSetAttribute(preference_, attribute, &value, sizeof value));
  }
  cublasLtMatmulPreference_t preference_ = nullptr;
};

// Rows of a step may be multiplied from any on. 256 is what cuBLAS takes for granted.
std::uint32_t alignment(std::int32_t n_cols, ElementType type) {
  return static_cast<std::uint32_t>(
      std::gcd(static_cast<std::size_t>(n_cols) * element_bytes(type), Arena::kAlign));
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
  ElementType type;
  cublasLtHandle_t handle = nullptr;
  cublasLtMatmulDesc_t description = nullptr;
  std::map<GemmProblem, cublasLtMatmulAlgo_t> algorithms;

  ~Impl() {
    if (description != nullptr) cublasLtMatmulDescDestroy(description);
    if (handle != nullptr) cublasLtDestroy(handle);
  }
};

Gemm::Gemm(ElementType type) : impl_(std::make_unique<Impl>()) {
  impl_->type = type;
  TOVAMILL_CUBLAS(cublasLtCreate(&impl_->handle));
  TOVAMILL_CUBLAS(cublasLtMatmulDescCreate(&impl_->description, CUBLAS_COMPUTE_32F, CUDA_R_32F));
  const cublasOperation_t transposed = CUBLAS_OP_T;
  TOVAMILL_CUBLAS(cublasLtMatmulDescSetAttribute(impl_->description, CUBLASLT_MATMUL_DESC_TRANSA,
                                                 &transposed, sizeof transposed));
}

Gemm::~Gemm() = default;

// What sums each number in one pass sums it in an order that does not depend on how many rows
// there are, unless it treats the last rows otherwise.
bool Gemm::choose(const GemmProblem& p, std::int32_t n_rows, int i) {
  const Layout a(impl_->type, p.n_in, p.n_out), b(impl_->type, p.n_in, n_rows),
      c(p.out_type, p.n_out, n_rows);
  const Preference preference(alignment(p.n_in, impl_->type), alignment(p.n_out, p.out_type));
  std::array<cublasLtMatmulHeuristicResult_t, 32> found{};
  int n_found = 0;
  const cublasStatus_t status = cublasLtMatmulAlgoGetHeuristic(
      impl_->handle, impl_->description, a.get(), b.get(), c.get(), c.get(), preference.get(),
      static_cast<int>(found.size()), found.data(), &n_found);
  if (status == CUBLAS_STATUS_NOT_SUPPORTED) return false;
  check_blas(status, "cublasLtMatmulAlgoGetHeuristic");
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
                    ElementType out_type, bool adds, void* workspace, const Stream& stream) {
  if (n_rows == 0) return;
  const GemmProblem problem{w.n_out, w.n_in, kind, out_type, adds};
  GemmProblem sized = problem;
  sized.size = size_of(n_rows);
  auto at = impl_->algorithms.find(sized);
  if (at == impl_->algorithms.end()) at = impl_->algorithms.find(problem);
  if (at == impl_->algorithms.end()) {
    if (!choose(problem, usual_rows(kind), 0))
      throw GemmRefused("cuBLAS has no algorithm for products of " + shown(w, usual_rows(kind)));
    at = impl_->algorithms.find(problem);
  }
  const Layout a(impl_->type, w.n_in, w.n_out), b(impl_->type, w.n_in, n_rows),
      c(out_type, w.n_out, n_rows);
  const float one = 1.0f, beta = adds ? 1.0f : 0.0f;
  const cublasStatus_t status = cublasLtMatmul(
      impl_->handle, impl_->description, &one, w.data, a.get(), x, b.get(), &beta, out, c.get(),
      out, c.get(), &at->second, workspace, kWorkspaceBytes, stream.get());
  if (status == CUBLAS_STATUS_NOT_SUPPORTED || status == CUBLAS_STATUS_INVALID_VALUE)
    throw GemmRefused("cuBLAS does not multiply " + shown(w, n_rows) + ": " +
                      cublasLtGetStatusString(status));
  check_blas(status, ("cublasLtMatmul of " + shown(w, n_rows)).c_str());
}

}  // namespace tovamill::cuda
