// What the tensors of a family of models are called, as tables: a row for each tensor that a layer
// may have. A family whose files name or cut them otherwise has a table of its own.
#pragma once

#include <cstdint>
#include <span>

#include "kernels/types/model_shape.h"

namespace tovamill {

// Rows or columns of a tensor. q_k: of q and k together; qkv: of all three; q_norm, k_norm: of a
// head or of all of them (QkNorm).
enum class Extent : std::uint8_t {
  none,
  one,
  hidden,
  q,
  kv,
  q_k,
  qkv,
  per_layer,  // ModelShape::per_layer_size
  q_norm,
  k_norm,
  heads,
  intermediate,
  twice_intermediate,
  n_experts,
  expert_intermediate,  // of one expert
  twice_expert_intermediate
};

// In which layers a tensor must be; in others it must not be.
enum class Need : std::uint8_t {
  always,
  own_kv,  // LayerShape::kv_source; others may have it, and nothing reads it
  own_v,   // the same, unless k_is_v
  k_as_v,  // k_is_v, in own_kv
  own_kv_bias,
  own_v_bias,
  k_as_v_bias,
  layer_input,  // ModelShape::per_layer_size
  optional,
  own_v_or_k,  // own_kv; where it is absent, the keys are the values
  pre_norm,
  pre_norm_bias,
  ffn_norm,  // pre_norm, unless `parallel`
  ffn_norm_bias,
  post_norm,
  qk_norm,
  gated,
  xielu,  // Activation's
  gate_bias,
  mlp_bias,
  qkv_bias,  // AttentionBias
  o_bias,
  never,  // what no layer computes
  dense,  // a feed-forward without experts
  // With experts.
  experts,
  router_bias,
  expert_bias,
  shared_expert,
  shared_gate,
  sinks,
};

struct LayerTensor {
  const char* name;                                    // behind the layer's prefix
  TensorView LayerWeights::*place;                     // null: nowhere
  Extent rows = Extent::none, columns = Extent::none;  // a vector has rows only
  Need need = Need::always;
  // Where the file has several matrices in one: rows before these, rows of all.
  Extent before = Extent::none, whole = Extent::none;
};

// A tensor of each expert: its number stands between the two parts of the name; or `after` is null,
// and all experts are in one tensor, (n_experts, rows, columns).
struct ExpertTensor {
  const char *before, *after;  // behind the layer's prefix
  TensorView ExpertTensors::*place;
  Extent rows = Extent::none, columns = Extent::none;
  Need need = Need::experts;
  Extent rows_before = Extent::none, whole = Extent::none;  // as in LayerTensor
};

struct TensorNames {
  const char *embedding, *final_norm, *final_norm_bias, *head;
  // Of per-layer embeddings; null: the family has none.
  const char *per_layer_embedding = nullptr, *per_layer_projection = nullptr,
             *per_layer_norm = nullptr;
  bool absent_head_is_tied;  // else the configuration says whether it is
  const char* layer;         // before the number of a layer and a dot
  std::span<const LayerTensor> of_layer;
  std::span<const ExpertTensor> of_expert;
  bool has_interleaved_experts = false;  // interleaved_experts.h, in place of of_expert
  // How the names of tensors end that files may hold beside them, and that nothing computes with.
  std::span<const char* const> harmless;
  std::span<const char* const> with_configuration = {};  // tensors that are read with it
};

extern const TensorNames kHfTensors;            // of Llama, and of all that copy it
extern const TensorNames kHfPhi3Tensors;        // Q, K and V in one, gate and up in one
extern const TensorNames kHfGemma2Tensors;      // norms before and behind
extern const TensorNames kHfOlmo2Tensors;       // norms behind alone
extern const TensorNames kHfGlmTensors;         // gate and up in one
extern const TensorNames kHfGlm4Tensors;        // the same, with norms before and behind
extern const TensorNames kHfStarcoder2Tensors;  // GPT-2's names of the feed-forward
extern const TensorNames kHfGraniteHybridTensors;
extern const TensorNames kHfGemma4Tensors;      // shared keys and values, per-layer embeddings
extern const TensorNames kHfHunYuanTensors;     // other names of the norms of queries and keys
extern const TensorNames kHfApertusTensors;     // numbers of xIELU, other names of norms
extern const TensorNames kHfQwenMoeTensors;     // experts, a shared one beside them
extern const TensorNames kHfMixtralTensors;     // experts by other names
extern const TensorNames kHfGptOssTensors;      // sinks, experts interleaved
extern const TensorNames kHfGraniteMoeTensors;  // all experts in one, gate and up in one
extern const TensorNames kGgufTensors;          // llama.cpp names them alike for nearly all
extern const TensorNames kGgufMoeTensors;       // experts, too
extern const TensorNames kGgufGptOssTensors;    // sinks, biases of experts
extern const TensorNames kGgufGemma4Tensors;    // shared keys and values, per-layer embeddings
extern const TensorNames kGgufPhi3Tensors;      // Q, K and V in one, gate and up in one
extern const TensorNames kGgufGlm4Tensors;      // gate and up in one
extern const TensorNames kGgufSeedOssTensors;   // another name of the norm before the feed-forward

}  // namespace tovamill
