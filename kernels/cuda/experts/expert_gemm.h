// Rows by the matrices of their experts, whose numbers only the device knows.
#pragma once

#include <cstdint>

#include "kernels/cuda/experts/expert_rows.h"

namespace tovamill::cuda {

// out (places, n_out) = x W_e^T + bias_e of the expert e of each place. All pointers are of device
// memory.
template <class T>
struct ExpertGemm {
  const T* x = nullptr;                // rows of n_in
  const std::int32_t* rows = nullptr;  // of x, by place; null: x is by place
  const T* weights = nullptr;          // (n_experts, n_out, n_in)
  const float* bias = nullptr;         // (n_experts, n_out), or none
  std::int32_t n_out = 0, n_in = 0;
  const ExpertTile* tiles = nullptr;
};

// `Out` is T or float. 2 places n_in n_out operations; the weights of an expert are read once for
// each tile of its rows, x once for 64 columns of n_out. A row's sums are in the same order
// whatever stands beside it.
template <class T, class Out>
void multiply_experts(const ExpertGemm<T>& a, Out* out, std::int32_t n_tiles, const Stream& stream);

}  // namespace tovamill::cuda
