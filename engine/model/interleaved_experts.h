// Experts as gpt-oss's directories hold them: those of a layer in one tensor, gate and up row by
// row in turn, either transposed or in MXFP4 blocks.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "kernels/types/model_shape.h"

namespace tovamill {

// The experts of a layer whose tensors' names begin with `prefix` ("model.layers.0."), E of them of
// inner size I, with H columns:
//   mlp.experts.gate_up_proj (E, H, 2 I), down_proj (E, I, H), or
//   mlp.experts.gate_up_proj_blocks (E, 2 I, H / 32, 16), _scales (E, 2 I, H / 32),
//   down_proj_blocks (E, H, I / 32, 16), _scales; mlp.experts.gate_up_proj_bias (E, 2 I),
//   down_proj_bias (E, H).
// Throws BadData, naming `where` and the tensor, where one is missing or has another shape or type.
std::vector<ExpertTensors> interleaved_experts(
    const std::function<std::optional<TensorView>(const std::string&)>& find,
    const std::string& prefix, const ExpertsShape& shape, std::int64_t hidden_size,
    const std::string& where);

// The tensors' names behind the prefix.
std::vector<std::string> interleaved_expert_names();

}  // namespace tovamill
