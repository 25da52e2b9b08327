// Fills the table of functions from whatever simd.h was configured for. Included last by the
// isa_*.cc files.
#pragma once

#include "kernels/cpu/isa_attention.h"
#include "kernels/cpu/isa_elementwise.h"
#include "kernels/cpu/isa_merge.h"
#include "kernels/cpu/isa_rows.h"

namespace {

constexpr tovamill::cpu::IsaKernels make_table(const char* name) {
  return {.name = name,
          .lanes = kLanes,
          .multiply = multiply,
          .exponentiate = exponentiate,
          .scan_evictions = scan_evictions,
          .merge_tokens = merge_tokens,
          .dot_rows_f32 = dot_rows<float>,
          .dot_rows_bf16 = dot_rows<std::uint16_t>,
          .add_rows_f32 = add_rows<float>,
          .add_rows_bf16 = add_rows<std::uint16_t>,
          .mask = mask,
          .transpose_f32 = transpose<float>,
          .transpose_bf16 = transpose<std::uint16_t>,
          .to_bf16 = to_bf16,
          .from_bf16 = from_bf16,
          .scale = scale<float>,
          .scale_bf16 = scale<std::uint16_t>,
          .cap = cap,
          .rms_norm = rms_norm<float>,
          .rms_norm_bf16 = rms_norm<std::uint16_t>,
          .layer_norm = layer_norm<float>,
          .layer_norm_bf16 = layer_norm<std::uint16_t>,
          .gate = {gate<Silu, float>, gate<Gelu, float>, gate<GeluTanh, float>, gate<Relu2, float>,
                   xielu<float>, gate_clamped<float>},
          .gate_bf16 = {gate<Silu, std::uint16_t>, gate<Gelu, std::uint16_t>,
                        gate<GeluTanh, std::uint16_t>, gate<Relu2, std::uint16_t>,
                        xielu<std::uint16_t>, gate_clamped<std::uint16_t>},
          .rotate = rotate,
          .sum_exp = sum_exp,
          .norm2 = norm2};
}

}  // namespace
