// What the tensors of a family of models are called, as tables: a row for each tensor that a layer
// may have. A family whose files name or cut them otherwise has a table of its own.
#pragma once

#include <cstdint>
#include <span>

#include "kernels/types/model_shape.h"

namespace tovamill {

// Rows or columns of a tensor.
enum class Extent : std::uint8_t { none, hidden, q, kv, head, intermediate };

// In which layers a tensor must be; in others it must not be.
enum class Need : std::uint8_t {
  always,
  pre_norm,
  qk_norm,
  gated,
  qkv_bias,  // AttentionBias
  o_bias,
  never,  // what no layer computes
};

struct LayerTensor {
  const char* name;                                    // behind the layer's prefix
  TensorView LayerWeights::*place;                     // null: nowhere
  Extent rows = Extent::none, columns = Extent::none;  // a vector has rows only
  Need need = Need::always;
};

struct TensorNames {
  const char *embedding, *final_norm, *head;
  bool absent_head_is_tied;  // else the configuration says whether it is
  const char* layer;         // before the number of a layer and a dot
  std::span<const LayerTensor> of_layer;
  // How the names of tensors end that files may hold beside them, and that nothing computes with.
  std::span<const char* const> harmless;
  const char* with_configuration = nullptr;  // a tensor that is read with it
};

extern const TensorNames kHfTensors;    // of Llama, and of all that copy it
extern const TensorNames kGgufTensors;  // llama.cpp names them alike for all

}  // namespace tovamill
