// Operations on the rows of a step between its GEMMs, each as a function that launches it. All
// pointers are of device memory, rows dense.
#pragma once

#include <cstdint>

#include "kernels/cuda/device/device_code.h"
#include "kernels/cuda/device/runtime.h"
#include "kernels/types/model_shape.h"

namespace tovamill::cuda {

// out (n_rows, n) = factor * rows ids[row] of table (vocab, n).
template <class T>
void embed_rows(const std::int32_t* ids, const T* table, std::int32_t n, float factor, float* out,
                std::int32_t n_rows, const Stream& stream);
// out = norm(x), x (n_rows, n); `bias` may be null. `adds`: to what is there, which is float32.
struct NormArguments {
  NormKind kind = NormKind::rms;
  const float* x = nullptr;
  const float *weight = nullptr, *bias = nullptr;
  std::int32_t n = 0;
  float eps = 0.0f;
  bool adds = false;
};
template <class T>
void norm_rows(const NormArguments& a, T* out, std::int32_t n_rows, const Stream& stream);
// out = x, rounded; (n_rows, n).
template <class T>
void convert_rows(const float* x, std::int32_t n, T* out, std::int32_t n_rows,
                  const Stream& stream);
// out (n_rows, n) = activation(gate + bias) * (up + bias); both (n_rows, 2 n): gate, then up, as
// are the biases (2 n) or null. Without `is_gated` activation(up + bias), which is (n_rows, n).
struct GateArguments {
  Activation activation = Activation::silu;
  bool is_gated = true;
  std::int32_t n = 0;
  const float* bias = nullptr;
  Xielu xielu = {};
};
template <class T>
void gate_rows(const T* in, const GateArguments& a, T* out, std::int32_t n_rows,
               const Stream& stream);
// Columns of float32 rows: `n` of each of `to`, rows of n_to, become factor * those of `from`, rows
// of n_from.
struct CopyArguments {
  const float* from = nullptr;
  std::int32_t n_from = 0;
  float* to = nullptr;
  std::int32_t n_to = 0, n = 0;
  float factor = 1.0f;
};
void copy_columns_of_rows(const CopyArguments& a, std::int32_t n_rows, const Stream& stream);
// x (n_rows, n) = x * by, rows of n_by.
template <class T>
void multiply_columns_of_rows(T* x, std::int32_t n, const float* by, std::int32_t n_by,
                              std::int32_t n_rows, const Stream& stream);
// x (n_rows, n) = cap * tanh(x / cap).
void cap_rows(float* x, float cap, std::int32_t n, std::int32_t n_rows, const Stream& stream);
// x (n_rows, n) += bias (n).
void add_bias(float* x, const float* bias, std::int32_t n, std::int32_t n_rows,
              const Stream& stream);
// nll[i] = log sum exp(logits[i]) - logits[i][targets[i]]; 0 where the target is negative. logits
// (n_rows, n).
void nll_rows(const float* logits, const std::int32_t* targets, std::int32_t n, float* nll,
              std::int32_t n_rows, const Stream& stream);

// ids[row] = the first of the highest of the row's n logits; NaN are none, -1 where all are. Each
// is read once: 4 n bytes a row.
void argmax_rows(const float* logits, std::int32_t n, std::int32_t* ids, std::int32_t n_rows,
                 const Stream& stream);
// out (n_rows, n) = rows[i] of x (any, n).
template <class T>
void gather_rows(const T* x, const std::int32_t* rows, std::int32_t n, T* out, std::int32_t n_rows,
                 const Stream& stream);

// `n` numbers in [-1, 1) that depend on their place and `seed` only.
void fill_random(void* to, std::int64_t n, bool is_bf16, std::uint32_t seed, const Stream& stream);
// *differs becomes 1 where the `n_bytes` (an even number) of a and b are not the same.
void find_difference(const void* a, const void* b, std::size_t n_bytes, std::uint32_t* differs,
                     const Stream& stream);

// Throws Error(no_device) where the program holds no code for the GPU that is set.
void check_code();

}  // namespace tovamill::cuda
