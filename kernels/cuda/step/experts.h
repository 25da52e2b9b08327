// The experts of a layer on a GPU, and what a step in flight needs to multiply by them.
#pragma once

#include <cstdint>
#include <memory>

#include "kernels/cuda/device/arena.h"
#include "kernels/cuda/experts/expert_rows.h"
#include "kernels/cuda/step/buffers.h"
#include "kernels/types/model_shape.h"

namespace tovamill::cuda {

// The matrices of all experts one below the other.
struct CudaExperts final : Experts {
  std::unique_ptr<Matrix> gate_up;  // (n_experts * 2 * intermediate, hidden): gate, then up of each
  std::unique_ptr<Matrix> down;     // (n_experts * hidden, intermediate)
  std::uint64_t n_bytes() const override { return gate_up->n_bytes() + down->n_bytes(); }
};

// Memory of `add_experts`; nothing where no layer has experts.
class ExpertScratch {
 public:
  // Rows that are multiplied at a time: more would keep more memory, and no expert busier.
  static constexpr std::int32_t kMostRows = 2048;

  ExpertScratch(const ModelShape& shape, std::int32_t max_rows, ComputeType type, Arena& arena);
  std::uint64_t n_bytes() const;
  std::int32_t max_rows() const { return max_rows_; }
  ExpertRouting routing() const;
  float* logits() const { return static_cast<float*>(logits_.data()); }
  void* gate_up() const { return gate_up_.data(); }
  void* gated() const { return gated_.data(); }
  float* products() const { return static_cast<float*>(products_.data()); }

 private:
  std::int32_t max_rows_ = 0;                     // that are multiplied at a time
  ArenaBlock logits_;                             // (max_rows of a step, n_experts) float32
  ArenaBlock experts_, weights_, places_, rows_;  // (places)
  ArenaBlock begins_, tiles_;
  ArenaBlock gate_up_;   // (places, 2 intermediate) in the compute type
  ArenaBlock gated_;     // (places, intermediate) in the compute type
  ArenaBlock products_;  // (places, hidden) float32
};

}  // namespace tovamill::cuda
