// The matrices of quantised directories by the names that unquantised ones have.
#pragma once

#include <functional>
#include <optional>
#include <string>
#include <string_view>

#include "engine/quantization/quantization.h"
#include "kernels/types/tensor.h"

namespace tovamill {

// The tensor `name` ("model.layers.0.mlp.up_proj.weight"): as it is in the file, or, of a matrix,
// made of its parts, with a reader:
//   fp8       X.weight F8_E4M3 (R, C), X.weight_scale_inv (ceil(R / block), ceil(C / block)) or one
//   packed    X.weight_packed I32 (R, ceil(C * bits / 32)), X.weight_shape, X.weight_scale,
//             X.weight_zero_point I32 (ceil(R * bits / 32), G), X.weight_g_idx I32 (C)
//   integers  X.weight I8 (R, C), X.weight_scale, X.weight_zero_point
//   floats    X.weight F8_E4M3 (R, C), X.weight_scale
//   gptq      X.qweight I32 (C * bits / 32, R), X.qzeros I32 (G, R * bits / 32), X.scales (G, R),
//             X.g_idx I32 (C)
//   awq       X.qweight I32 (C, R / 8), X.qzeros I32 (G, R / 8), X.scales (G, R)
// nullopt where there is none. Throws BadData, naming `where` and the tensor, where a part is
// missing, has another shape or type, stands without the others, or names a group that is not
// there. NaN and infinite scales stay what they are.
std::optional<TensorView> find_quantized(
    const Quantization& quantization,
    const std::function<std::optional<TensorView>(const std::string&)>& find,
    const std::string& name, const std::string& where);

// The name of the matrix whose part a tensor of the name `part` is ("X.weight" of "X.qweight");
// empty where it is none.
std::string matrix_of_part(const Quantization& quantization, std::string_view part);

// How many weights a tensor of the files holds: none where it has scales and the like.
std::uint64_t n_weights_in(const Quantization& quantization, const TensorView& tensor);

}  // namespace tovamill
