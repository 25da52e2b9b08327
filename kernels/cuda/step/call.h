// One operation of a step between its upload and its head, with all that its launches depend on
// beside the step's layout: calls that are equal launch the same kernels with the same arguments.
#pragma once

#include <cstdint>

#include "kernels/cuda/attention/attention_kernels.h"
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
    scale,
    copy,
    multiply,
    experts,  // weights, bias: of the router
    weigh     // weights: of the gate (float32)
  };
  Kind kind = Kind::embed;
  bool adds = false;                         // project, norm: to what is there
  bool is_gated = false;                     // activate
  Activation activation = Activation::silu;  // activate, experts
  std::int32_t layer = 0;                    // attend
  std::int32_t n_in = 0, n_out = 0;          // columns of in and out; embed: of out
  const void* in = nullptr;                  // rows of the step
  const void* also_in = nullptr;             // weigh: what the gate multiplies
  const void* weights = nullptr;             // matrix, norm (float32) or embedding
  const float* bias = nullptr;               // or none
  AttentionRowWeights of_rows = {};          // attend
  const float* sinks = nullptr;              // attend, or none
  Xielu xielu = {};                          // activate
  ExpertCall experts = {};                   // experts
  float factor = 1.0f;                       // embed, scale; norm: of eps
  std::int32_t parts = 1;                    // norm: of each row, of n_out columns
  // copy: columns, their first ones in `in` and `out`; multiply: the first one in `in`.
  std::int32_t n_columns = 0, first = 0, first_out = 0;
  void* out = nullptr;
  bool operator==(const Call&) const = default;
};

}  // namespace tovamill::cuda
