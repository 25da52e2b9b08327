// The weights of a model on their way to the GPU.
#pragma once

#include <cstdint>
#include <string>

#include "kernels/cuda/products.h"
#include "kernels/cuda/runtime.h"

namespace tovamill::cuda {

// Gives row `row` of a matrix, (n_in) float32.
using RowSource = void (*)(const void* context, std::int64_t row, float* out);

struct MatrixUpload {
  std::string name;  // for messages
  std::int32_t n_out = 0, n_in = 0;
  ElementType type = ElementType::f32;
  RowSource source = nullptr;
  const void* context = nullptr;
  int n_threads = 1;
};

// Brings the rows to `to` (n_out, n_in) in the type wanted. What is sent goes through page-locked
// memory in two halves: one is filled, by all threads, while the other is copied. Waits until all
// is there.
void upload(const MatrixUpload& matrix, void* to, const Stream& stream);

}  // namespace tovamill::cuda
