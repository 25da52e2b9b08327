#include "kernels/cuda/products.h"

#include <cublasLt.h>

#include <array>
#include <map>
#include <tuple>

namespace tovamill::cuda {
namespace {

// Rows for which the algorithm of each kind is chosen: as many as a full step of it has.
constexpr std::int32_t kManyRows = 4096, kSingleRows = 64;

void check_blas(cublasStatus_t status, const char* call) {
  if (status == CUBLAS_STATUS_SUCCESS) return;
  if (status == CUBLAS_STATUS_ALLOC_FAILED)
    throw OutOfMemory(std::string("out of GPU memory in ") + call);
  throw Error(ExitCode::internal,
              std::string("cuBLAS: ") + call + ": " + cublasLtGetStatusString(status));
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

}  // namespace

struct Products::Impl {
  // n_out, n_in, kind, out type, whether it adds
  using Key = std::tuple<std::int32_t, std::int32_t, RowKind, ElementType, bool>;

  ElementType type;
  std::int32_t max_rows;
  cublasLtHandle_t handle = nullptr;
  cublasLtMatmulDesc_t description = nullptr;
  cublasLtMatmulPreference_t preference = nullptr;
  std::map<Key, cublasLtMatmulAlgo_t> algorithms;

  ~Impl() {
    if (preference != nullptr) cublasLtMatmulPreferenceDestroy(preference);
    if (description != nullptr) cublasLtMatmulDescDestroy(description);
    if (handle != nullptr) cublasLtDestroy(handle);
  }

  // The best that sums each number in one pass, for as many rows as a full step has: the order of
  // its sums then does not depend on how many rows there are.
  const cublasLtMatmulAlgo_t& algorithm(const Key& key) {
    if (const auto at = algorithms.find(key); at != algorithms.end()) return at->second;
    const auto [n_out, n_in, kind, out_type, adds] = key;
    const std::int32_t rows = std::min(max_rows, kind == RowKind::many ? kManyRows : kSingleRows);
    const Layout a(type, n_in, n_out), b(type, n_in, rows), c(out_type, n_out, rows);
    std::array<cublasLtMatmulHeuristicResult_t, 32> found{};
    int n_found = 0;
    TOVAMILL_CUBLAS(cublasLtMatmulAlgoGetHeuristic(
        handle, description, a.get(), b.get(), c.get(), c.get(), preference,
        static_cast<int>(found.size()), found.data(), &n_found));
    for (int i = 0; i < n_found; ++i) {
      std::int32_t splits = 1;
      std::size_t written = 0;
      if (cublasLtMatmulAlgoConfigGetAttribute(&found[static_cast<std::size_t>(i)].algo,
                                               CUBLASLT_ALGO_CONFIG_SPLITK_NUM, &splits,
                                               sizeof splits, &written) == CUBLAS_STATUS_SUCCESS &&
          splits <= 1 && found[static_cast<std::size_t>(i)].state == CUBLAS_STATUS_SUCCESS)
        return algorithms.emplace(key, found[static_cast<std::size_t>(i)].algo).first->second;
    }
    throw Error(ExitCode::internal, "cuBLAS has no algorithm for products of " +
                                        std::to_string(n_out) + " x " + std::to_string(n_in) +
                                        " with " + std::to_string(rows) + " rows");
  }
};

Products::Products(ElementType type, std::int32_t max_rows) : impl_(std::make_unique<Impl>()) {
  impl_->type = type;
  impl_->max_rows = max_rows;
  TOVAMILL_CUBLAS(cublasLtCreate(&impl_->handle));
  TOVAMILL_CUBLAS(cublasLtMatmulDescCreate(&impl_->description, CUBLAS_COMPUTE_32F, CUDA_R_32F));
  const cublasOperation_t transposed = CUBLAS_OP_T;
  TOVAMILL_CUBLAS(cublasLtMatmulDescSetAttribute(impl_->description, CUBLASLT_MATMUL_DESC_TRANSA,
                                                 &transposed, sizeof transposed));
  TOVAMILL_CUBLAS(cublasLtMatmulPreferenceCreate(&impl_->preference));
  const std::size_t bytes = kWorkspaceBytes;
  TOVAMILL_CUBLAS(cublasLtMatmulPreferenceSetAttribute(
      impl_->preference, CUBLASLT_MATMUL_PREF_MAX_WORKSPACE_BYTES, &bytes, sizeof bytes));
  const std::uint32_t no_reduction = CUBLASLT_REDUCTION_SCHEME_NONE;
  TOVAMILL_CUBLAS(cublasLtMatmulPreferenceSetAttribute(impl_->preference,
                                                       CUBLASLT_MATMUL_PREF_REDUCTION_SCHEME_MASK,
                                                       &no_reduction, sizeof no_reduction));
}

Products::~Products() = default;

bool Products::may_depend_on_rows() { return true; }

// cuBLAS counts columns first: out^T (n_out, n_rows) = W (n_in, n_out)^T x^T (n_in, n_rows).
void Products::multiply(const Operand& w, const void* x, std::int32_t n_rows, RowKind kind,
                        void* out, ElementType out_type, bool adds, void* workspace,
                        const Stream& stream) {
  if (n_rows == 0) return;
  const cublasLtMatmulAlgo_t& algorithm = impl_->algorithm({w.n_out, w.n_in, kind, out_type, adds});
  const Layout a(impl_->type, w.n_in, w.n_out), b(impl_->type, w.n_in, n_rows),
      c(out_type, w.n_out, n_rows);
  const float one = 1.0f, beta = adds ? 1.0f : 0.0f;
  TOVAMILL_CUBLAS(cublasLtMatmul(impl_->handle, impl_->description, &one, w.data, a.get(), x,
                                 b.get(), &beta, out, c.get(), out, c.get(), &algorithm, workspace,
                                 kWorkspaceBytes, stream.get()));
}

}  // namespace tovamill::cuda
