// What calls of a backend work on in the memory of a GPU: matrices and rows of a step.
#pragma once

#include <cstdint>
#include <memory>

#include "kernels/backend.h"
#include "kernels/cuda/device/arena.h"
#include "kernels/cuda/device/runtime.h"
#include "kernels/cuda/gemm/gemm.h"
#include "kernels/cuda/state/state.h"

namespace tovamill::cuda {

struct CudaMatrix final : Matrix {
  ArenaBlock weights;  // (rows, cols) in the storage type of the matrix
  ArenaBlock biases;   // (rows) float32, or empty
  std::int32_t rows = 0, cols = 0;
  std::int32_t n_out() const override { return rows; }
  std::int32_t n_in() const override { return cols; }
  std::uint64_t n_bytes() const override { return weights.size() + biases.size(); }
  Operand operand() const { return {weights.data(), rows, cols}; }
  const float* bias() const { return static_cast<const float*>(biases.data()); }
};

struct CudaBuffer final : Buffer {
  ArenaBlock memory;
  std::int32_t cols = 0;
  ComputeType type = ComputeType::f32;
  mutable StepNumber last_step = 0;  // that reads or writes it; 0: none since the host wrote it
  // Reached once what was sent from it to another device has left it; to be waited for while
  // is_leaving.
  mutable std::unique_ptr<Event> sent;
  mutable bool is_leaving = false;
  template <class T>
  T* as() const {
    return static_cast<T*>(memory.data());
  }
};

}  // namespace tovamill::cuda
