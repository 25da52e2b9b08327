// One operation of a step between its upload and its head, with all that its launches depend on
// beside the step's layout: calls that are equal launch the same kernels with the same arguments.
#pragma once

#include <cstdint>

#include "kernels/types/layer_shape.h"

namespace tovamill::cuda {

// What `experts` needs of a layer's experts.
struct ExpertCall {
  ExpertsShape shape;
  const void *gate_up = nullptr, *down = nullptr;
  const float *gate_up_bias = nullptr, *down_bias = nullptr;  // or none
  bool operator==(const ExpertCall&) const = default;
};

struct Call {
  enum class Kind : std::uint8_t {
    embed,
    norm,
    convert,
    project,
    activate,
    attend,
    experts,  // weights, bias: of the router
    weigh     // weights: of the gate (float32)
  };
  Kind kind = Kind::embed;
  bool adds = false;                                 // project, norm: to what is there
  bool is_gated = false;                             // activate
  Activation activation = Activation::silu;          // activate, experts
  std::int32_t layer = 0;                            // attend
  std::int32_t n_in = 0, n_out = 0;                  // columns of in and out; embed: of out
  const void* in = nullptr;                          // rows of the step
  const void* also_in = nullptr;                     // weigh: what the gate multiplies
  const void* weights = nullptr;                     // matrix, norm (float32) or embedding
  const float* bias = nullptr;                       // or none
  const float *q_norm = nullptr, *k_norm = nullptr;  // attend, or none
  const float* sinks = nullptr;                      // the same
  ExpertCall experts = {};                           // experts
  void* out = nullptr;
  bool operator==(const Call&) const = default;
};

}  // namespace tovamill::cuda
