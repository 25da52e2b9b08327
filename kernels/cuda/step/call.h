// One operation of a step between its upload and its head, with all that its launches depend on
// beside the step's layout: calls that are equal launch the same kernels with the same arguments.
#pragma once

#include <cstdint>

#include "kernels/cuda/attention/attention_kernels.h"
#include "kernels/types/layer_shape.h"

namespace tovamill::cuda {

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
    multiply
  };
  Kind kind = Kind::embed;
  bool adds = false;                         // project, norm: to what is there
  bool is_gated = false;                     // activate
  Activation activation = Activation::silu;  // activate
  std::int32_t layer = 0;                    // attend
  std::int32_t n_in = 0, n_out = 0;          // columns of in and out; embed: of out
  const void* in = nullptr;                  // rows of the step
  const void* weights = nullptr;             // matrix, norm (float32) or embedding
  const float* bias = nullptr;               // or none
  AttentionRowWeights of_rows = {};          // attend
  Xielu xielu = {};                          // activate
  float factor = 1.0f;                       // embed, scale; norm: of eps
  std::int32_t parts = 1;                    // norm: of each row, of n_out columns
  // copy: columns, their first ones in `in` and `out`; multiply: the first one in `in`.
  std::int32_t n_columns = 0, first = 0, first_out = 0;
  void* out = nullptr;
  bool operator==(const Call&) const = default;
};

}  // namespace tovamill::cuda
