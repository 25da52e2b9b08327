// cuBLASLt: the only file that includes it, for gemm.cc (which chooses algorithms that rows can
// rely on) and measure.cc (which looks for the fastest, however it sums). Handles that free
// themselves, errors as exceptions.
#pragma once

#include <cublasLt.h>

#include <cstdint>
#include <string>

#include "kernels/device_failed.h"
#include "kernels/types/error.h"

namespace tovamill::cuda {

// Throws unless the call succeeded: OutOfMemory, DeviceFailed, or Error(internal).
inline void check_cublas(cublasStatus_t status, const char* call) {
  if (status == CUBLAS_STATUS_SUCCESS) return;
  if (status == CUBLAS_STATUS_ALLOC_FAILED)
    throw OutOfMemory(std::string("out of GPU memory in ") + call);
  const std::string text = std::string("cuBLAS: ") + call + ": " + cublasLtGetStatusString(status);
  if (status == CUBLAS_STATUS_EXECUTION_FAILED || status == CUBLAS_STATUS_INTERNAL_ERROR)
    throw DeviceFailed(text);
  throw Error(ExitCode::internal, text);
}
#define TOVAMILL_CUBLAS(call) ::tovamill::cuda::check_cublas((call), #call)

// A dense matrix (rows, cols), column-major as cuBLAS counts.
class MatrixLayout {
 public:
  MatrixLayout(cudaDataType_t type, std::int32_t rows, std::int32_t cols) {
    TOVAMILL_CUBLAS(cublasLtMatrixLayoutCreate(&layout_, type, static_cast<std::uint64_t>(rows),
                                               static_cast<std::uint64_t>(cols), rows));
  }
  ~MatrixLayout() { cublasLtMatrixLayoutDestroy(layout_); }
  MatrixLayout(const MatrixLayout&) = delete;
  MatrixLayout& operator=(const MatrixLayout&) = delete;
  cublasLtMatrixLayout_t get() const { return layout_; }

 private:
  cublasLtMatrixLayout_t layout_ = nullptr;
};

// What cuBLAS may choose an algorithm of.
class MatmulPreference {
 public:
  MatmulPreference() { TOVAMILL_CUBLAS(cublasLtMatmulPreferenceCreate(&preference_)); }
  ~MatmulPreference() { cublasLtMatmulPreferenceDestroy(preference_); }
  MatmulPreference(const MatmulPreference&) = delete;
  MatmulPreference& operator=(const MatmulPreference&) = delete;
  template <class T>
  void set(cublasLtMatmulPreferenceAttributes_t attribute, T value) {
    TOVAMILL_CUBLAS(
        cublasLtMatmulPreferenceSetAttribute(preference_, attribute, &value, sizeof value));
  }
  cublasLtMatmulPreference_t get() const { return preference_; }

 private:
  cublasLtMatmulPreference_t preference_ = nullptr;
};

// The library, and the operation a^T b with float32 sums.
class TransposedMatmul {
 public:
  TransposedMatmul() {
    try {
      create();
    } catch (...) {
      destroy();
      throw;
    }
  }
  ~TransposedMatmul() { destroy(); }
  TransposedMatmul(const TransposedMatmul&) = delete;
  TransposedMatmul& operator=(const TransposedMatmul&) = delete;
  cublasLtHandle_t handle() const { return handle_; }
  cublasLtMatmulDesc_t description() const { return description_; }

 private:
  void create() {
    TOVAMILL_CUBLAS(cublasLtCreate(&handle_));
    TOVAMILL_CUBLAS(cublasLtMatmulDescCreate(&description_, CUBLAS_COMPUTE_32F, CUDA_R_32F));
    const cublasOperation_t transposed = CUBLAS_OP_T;
    TOVAMILL_CUBLAS(cublasLtMatmulDescSetAttribute(description_, CUBLASLT_MATMUL_DESC_TRANSA,
                                                   &transposed, sizeof transposed));
  }
  void destroy() {
    if (description_ != nullptr) cublasLtMatmulDescDestroy(description_);
    if (handle_ != nullptr) cublasLtDestroy(handle_);
  }

  cublasLtHandle_t handle_ = nullptr;
  cublasLtMatmulDesc_t description_ = nullptr;
};

}  // namespace tovamill::cuda
