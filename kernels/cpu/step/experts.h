// The experts of a layer on the CPU, and what a step needs to multiply by them.
#pragma once

#include <cstdint>
#include <memory>
#include <vector>

#include "kernels/cpu/expert_rows.h"
#include "kernels/cpu/step/device.h"
#include "kernels/types/model_shape.h"

namespace tovamill::cpu {

struct CpuExperts final : Experts {
  std::vector<std::unique_ptr<Matrix>> gate_up, down;  // PackedMatrix, one an expert
  std::uint64_t n_bytes() const override;
};

// Memory of add_experts; nothing where no layer has experts.
struct ExpertScratch {
  ExpertScratch(const ModelShape& shape, std::int32_t max_rows, ComputeType type);
  std::uint64_t n_bytes() const;

  ExpertRows rows;
  CpuBuffer logits;            // (max_rows, n_experts) float32
  CpuBuffer gathered;          // (places, hidden_size) in the compute type
  CpuBuffer gated;             // (places, intermediate_size of an expert) in the compute type
  CpuBuffer products;          // (places, widest chunk) float32, times their weights
  std::vector<float> weights;  // by place

 private:
  ExpertScratch(const ExpertsShape& widest, std::int32_t hidden_size, std::int32_t max_rows,
                ComputeType type);
};

}  // namespace tovamill::cpu
