#include "tests/support/cuda_emulation/cublasLt.h"

#include <algorithm>
#include <array>
#include <cstring>
#include <map>
#include <vector>

#include "kernels/cuda/device/device_code.h"
#include "kernels/cuda/gemm/gemm.h"

struct EmulatedBlas {};
struct EmulatedGemm {
  std::int32_t transposes_a = CUBLAS_OP_N;
};
struct EmulatedPreference {
  std::uint64_t workspace_bytes = 0;
  std::uint32_t reductions = 7;                              // all
  std::array<std::uint32_t, 4> aligned{256, 256, 256, 256};  // a, b, c, d
};
struct EmulatedLayout {
  cudaDataType_t type;
  std::int64_t rows, cols, ld;  // columns first
};

namespace {

using tovamill::emulation::GemmFaults;
GemmFaults faults;

// What an algorithm holds in its data.
enum Field { kIndex, kSplits, kAlignment, kAskedRows, kIsContrary };
thread_local std::map<std::int64_t, std::uint64_t> gemm_by;  // rows that they were chosen for

bool is_aligned(const void* p, std::uint64_t to) {
  return reinterpret_cast<std::uintptr_t>(p) % to == 0;
}
std::int64_t element_bytes(cudaDataType_t type) { return type == CUDA_R_16BF ? 2 : 4; }

// a^T b: (k, m), (k, n) to (m, n).
bool fits(const EmulatedGemm& p, const EmulatedLayout& a, const EmulatedLayout& b,
          const EmulatedLayout& c, const EmulatedLayout& d) {
  const bool types =
      a.type == b.type && c.type == d.type && (a.type == CUDA_R_16BF || c.type == CUDA_R_32F);
  return types && p.transposes_a == CUBLAS_OP_T && a.rows == b.rows && a.cols == c.rows &&
         b.cols == c.cols && c.rows == d.rows && c.cols == d.cols;
}

float element(const void* p, cudaDataType_t type, std::int64_t i) {
  return type == CUDA_R_16BF
             ? tovamill::cuda::to_float(static_cast<const tovamill::cuda::Bf16*>(p)[i])
             : static_cast<const float*>(p)[i];
}

struct Matrix {
  const void* data;
  EmulatedLayout layout;
};

// (cols, rows) of a matrix as float32, or transposed (rows, cols).
std::vector<float> unpack(const Matrix& m, bool transposed) {
  const auto rows = static_cast<std::size_t>(m.layout.rows),
             cols = static_cast<std::size_t>(m.layout.cols);
  std::vector<float> out(rows * cols);
  for (std::size_t c = 0; c < cols; ++c) {
    for (std::size_t r = 0; r < rows; ++r)
      out[transposed ? r * cols + c : c * rows + r] =
          element(m.data, m.layout.type,
                  static_cast<std::int64_t>(c) * m.layout.ld + static_cast<std::int64_t>(r));
  }
  return out;
}

// d = scale * a^T b + keeps * c; each number is summed in order, or backwards.
void multiply(const Matrix& a, const Matrix& b, const Matrix& c, const Matrix& d, float scale,
              float keeps, bool backwards) {
  const auto n_sum = static_cast<std::size_t>(a.layout.rows),
             n_out = static_cast<std::size_t>(a.layout.cols);
  const std::vector<float> weights = unpack(a, true), x = unpack(b, false);
  std::vector<float> sums(n_out);
  for (std::int64_t n = 0; n < b.layout.cols; ++n) {
    std::fill(sums.begin(), sums.end(), 0.0f);
    for (std::size_t i = 0; i < n_sum; ++i) {
      const std::size_t k = backwards ? n_sum - 1 - i : i;
      const float factor = x[static_cast<std::size_t>(n) * n_sum + k];
      const float* row = weights.data() + k * n_out;
      for (std::size_t m = 0; m < n_out; ++m) sums[m] += row[m] * factor;
    }
    for (std::size_t m = 0; m < n_out; ++m) {
      float sum = sums[m] * scale;
      const auto column = static_cast<std::int64_t>(m);
      if (keeps != 0.0f) sum += keeps * element(c.data, c.layout.type, n * c.layout.ld + column);
      const std::int64_t at = n * d.layout.ld + column;
      auto* out = const_cast<void*>(d.data);
      if (d.layout.type == CUDA_R_16BF) {
        static_cast<tovamill::cuda::Bf16*>(out)[at] = tovamill::cuda::to_bf16(sum);
      } else {
        static_cast<float*>(out)[at] = sum;
      }
    }
  }
}

template <class T>
cublasStatus_t take(T& field, const void* value, std::size_t n_bytes) {
  if (value == nullptr || n_bytes != sizeof field) return CUBLAS_STATUS_INVALID_VALUE;
  std::memcpy(&field, value, n_bytes);
  return CUBLAS_STATUS_SUCCESS;
}

}  // namespace

namespace tovamill::emulation {
void set_gemm_faults(const GemmFaults& wanted) { faults = wanted; }
std::uint64_t take_gemm_by(std::int32_t asked_rows) {
  const std::uint64_t n = gemm_by[asked_rows];
  gemm_by.clear();
  return n;
}
}  // namespace tovamill::emulation

// In place of kernels/cuda/gemm/gemm_trial.cc: trials take the emulation long.
bool tovamill::cuda::Gemm::may_depend_on_rows() { return faults.few_rows > 0; }

std::size_t cublasLtGetVersion() { return 130000; }
const char* cublasLtGetStatusString(cublasStatus_t status) {
  if (status == CUBLAS_STATUS_EXECUTION_FAILED) return "CUBLAS_STATUS_EXECUTION_FAILED";
  return status == CUBLAS_STATUS_NOT_SUPPORTED ? "CUBLAS_STATUS_NOT_SUPPORTED"
                                               : "CUBLAS_STATUS_INVALID_VALUE";
}

cublasStatus_t cublasLtCreate(cublasLtHandle_t* handle) {
  return *handle = new EmulatedBlas, CUBLAS_STATUS_SUCCESS;
}
cublasStatus_t cublasLtDestroy(cublasLtHandle_t handle) {
  return delete handle, CUBLAS_STATUS_SUCCESS;
}

cublasStatus_t cublasLtMatmulDescCreate(cublasLtMatmulDesc_t* description, cublasComputeType_t,
                                        cudaDataType_t scale) {
  if (scale != CUDA_R_32F) return CUBLAS_STATUS_INVALID_VALUE;
  return *description = new EmulatedGemm, CUBLAS_STATUS_SUCCESS;
}
cublasStatus_t cublasLtMatmulDescDestroy(cublasLtMatmulDesc_t description) {
  return delete description, CUBLAS_STATUS_SUCCESS;
}
cublasStatus_t cublasLtMatmulDescSetAttribute(cublasLtMatmulDesc_t description,
                                              cublasLtMatmulDescAttributes_t, const void* value,
                                              std::size_t n_bytes) {
  return take(description->transposes_a, value, n_bytes);
}

cublasStatus_t cublasLtMatmulPreferenceCreate(cublasLtMatmulPreference_t* preference) {
  return *preference = new EmulatedPreference, CUBLAS_STATUS_SUCCESS;
}
cublasStatus_t cublasLtMatmulPreferenceDestroy(cublasLtMatmulPreference_t preference) {
  return delete preference, CUBLAS_STATUS_SUCCESS;
}
cublasStatus_t cublasLtMatmulPreferenceSetAttribute(cublasLtMatmulPreference_t preference,
                                                    cublasLtMatmulPreferenceAttributes_t attribute,
                                                    const void* value, std::size_t n_bytes) {
  switch (attribute) {
    case CUBLASLT_MATMUL_PREF_MAX_WORKSPACE_BYTES:
      return take(preference->workspace_bytes, value, n_bytes);
    case CUBLASLT_MATMUL_PREF_REDUCTION_SCHEME_MASK:
      return take(preference->reductions, value, n_bytes);
    default:
      return take(preference->aligned[static_cast<std::size_t>(
                      attribute - CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_A_BYTES)],
                  value, n_bytes);
  }
}

cublasStatus_t cublasLtMatrixLayoutCreate(cublasLtMatrixLayout_t* layout, cudaDataType_t type,
                                          std::uint64_t rows, std::uint64_t cols, std::int64_t ld) {
  *layout = new EmulatedLayout{type, static_cast<std::int64_t>(rows),
                               static_cast<std::int64_t>(cols), ld};
  return ld >= (*layout)->rows ? CUBLAS_STATUS_SUCCESS : CUBLAS_STATUS_INVALID_VALUE;
}
cublasStatus_t cublasLtMatrixLayoutDestroy(cublasLtMatrixLayout_t layout) {
  return delete layout, CUBLAS_STATUS_SUCCESS;
}

// The best splits its sums, where it may; two that want 16 bytes, as those do that copy whole
// tiles; one that takes everything.
cublasStatus_t cublasLtMatmulAlgoGetHeuristic(cublasLtHandle_t, cublasLtMatmulDesc_t description,
                                              cublasLtMatrixLayout_t a, cublasLtMatrixLayout_t b,
                                              cublasLtMatrixLayout_t c, cublasLtMatrixLayout_t d,
                                              cublasLtMatmulPreference_t preference, int n_wanted,
                                              cublasLtMatmulHeuristicResult_t results[],
                                              int* n_found) {
  *n_found = 0;
  if (!fits(*description, *a, *b, *c, *d)) return CUBLAS_STATUS_INVALID_VALUE;
  bool has_16 = std::all_of(preference->aligned.begin(), preference->aligned.end(),
                            [](std::uint32_t n) { return n % 16 == 0; });
  for (const EmulatedLayout* l : {a, b, c, d})
    has_16 = has_16 && l->ld * element_bytes(l->type) % 16 == 0;
  const auto add = [&](std::uint64_t splits, std::uint64_t alignment) {
    if (*n_found == n_wanted) return;
    cublasLtMatmulHeuristicResult_t& r = results[*n_found];
    r = {};
    r.algo.data[kIndex] = static_cast<std::uint64_t>(*n_found);
    r.algo.data[kSplits] = splits;
    r.algo.data[kAlignment] = alignment;
    r.algo.data[kAskedRows] = static_cast<std::uint64_t>(b->cols);
    r.algo.data[kIsContrary] = b->cols == faults.contrary_rows && *n_found == 0 ? 1 : 0;
    ++*n_found;
  };
  if (preference->reductions != CUBLASLT_REDUCTION_SCHEME_NONE) add(4, 4);
  if (has_16) add(1, 16);
  if (has_16) add(1, 16);
  add(1, 2);
  return CUBLAS_STATUS_SUCCESS;
}

cublasStatus_t cublasLtMatmulAlgoConfigGetAttribute(const cublasLtMatmulAlgo_t* algorithm,
                                                    cublasLtMatmulAlgoConfigAttributes_t,
                                                    void* value, std::size_t n_bytes,
                                                    std::size_t* n_written) {
  const auto splits = static_cast<std::int32_t>(algorithm->data[kSplits]);
  if (n_bytes != sizeof splits) return CUBLAS_STATUS_INVALID_VALUE;
  std::memcpy(value, &splits, *n_written = sizeof splits);
  return CUBLAS_STATUS_SUCCESS;
}

cublasStatus_t cublasLtMatmul(cublasLtHandle_t, cublasLtMatmulDesc_t description, const void* alpha,
                              const void* a, cublasLtMatrixLayout_t a_layout, const void* b,
                              cublasLtMatrixLayout_t b_layout, const void* beta, const void* c,
                              cublasLtMatrixLayout_t c_layout, void* d,
                              cublasLtMatrixLayout_t d_layout,
                              const cublasLtMatmulAlgo_t* algorithm, void* workspace,
                              std::size_t workspace_bytes, cudaStream_t stream) {
  const EmulatedLayout la = *a_layout, lb = *b_layout, lc = *c_layout, ld = *d_layout;
  if (!fits(*description, la, lb, lc, ld) || (workspace_bytes > 0 && !is_aligned(workspace, 256)))
    return CUBLAS_STATUS_INVALID_VALUE;
  for (const void* p : {a, b, c, static_cast<const void*>(d)})
    if (p == nullptr || !is_aligned(p, algorithm->data[kAlignment]))
      return CUBLAS_STATUS_INVALID_VALUE;
  const auto index = static_cast<int>(algorithm->data[kIndex]);
  if (index < faults.n_refusing && lb.cols <= faults.few_rows) return CUBLAS_STATUS_NOT_SUPPORTED;
  const bool backwards =
      (index < faults.n_fickle && lb.cols <= faults.few_rows) || algorithm->data[kIsContrary] != 0;
  ++gemm_by[static_cast<std::int64_t>(algorithm->data[kAskedRows])];
  const float scale = *static_cast<const float*>(alpha), keeps = *static_cast<const float*>(beta);
  return tovamill::emulation::enqueue(
             stream,
             [=] {
               multiply({a, la}, {b, lb}, {c, lc}, {d, ld}, scale, keeps, backwards);
             }) == cudaSuccess
             ? CUBLAS_STATUS_SUCCESS
             : CUBLAS_STATUS_EXECUTION_FAILED;
}
