// The numbers of a decoder-only transformer that its arithmetic needs, in the words of Hugging
// Face's config.json.
#pragma once

#include <cstdint>
#include <vector>

#include "kernels/types/layer_shape.h"
#include "kernels/types/tensor.h"

namespace tovamill {

struct ModelShape {
  std::int32_t n_layers = 0;  // num_hidden_layers; of a stage: those that it has
  std::int32_t hidden_size = 0;
  // The same in all layers: buffers and states are laid out alike for each.
  std::int32_t intermediate_size = 0;
  std::int32_t n_heads = 0;     // num_attention_heads
  std::int32_t n_kv_heads = 0;  // num_key_value_heads
  std::int32_t head_dim = 0;
  std::int32_t vocab_size = 0;
  std::int32_t trained_context = 0;  // max_position_embeddings, tokens
  float rms_norm_eps = 1e-5f;
  // (tables, head_dim / 2) rotary frequencies in radians per token, scaling applied; of all layers.
  std::vector<std::vector<double>> ropes = {};
  std::vector<LayerShape> layers = {};  // of the whole model
  std::int32_t first_layer = 0;         // of `layers`: the first of the n_layers

  // What layer `l` of n_layers computes.
  const LayerShape& layer(std::int32_t l) const {
    return layers.at(static_cast<std::size_t>(first_layer + l));
  }
  std::int32_t q_size() const { return n_heads * head_dim; }
  std::int32_t kv_size() const { return n_kv_heads * head_dim; }
  std::int32_t queries_per_kv_head() const { return n_heads / n_kv_heads; }
};

// The weights of one layer as views of the model file. An empty view (data == nullptr) is an absent
// tensor. q and k stand in the half-split rotary layout (dimension i pairs with i + head_dim / 2);
// `interleaved_qk` says that the file holds llama.cpp's layout instead (2i pairs with 2i + 1) and
// the rows of q and k, and of their biases, are to be reordered while packing.
struct LayerWeights {
  TensorView attention_norm;  // (hidden_size)
  TensorView q, k, v;         // (n_heads * head_dim | n_kv_heads * head_dim, hidden_size)
  TensorView q_bias, k_bias, v_bias, o_bias;  // rows of the above; Qwen2
  TensorView q_norm, k_norm;                  // (head_dim); Qwen3
  TensorView o;                               // (hidden_size, n_heads * head_dim)
  TensorView ffn_norm;                        // (hidden_size)
  TensorView gate, up;                        // (intermediate_size, hidden_size)
  TensorView down;                            // (hidden_size, intermediate_size)
};

struct ModelWeights {
  TensorView embedding;   // (vocab_size, hidden_size)
  TensorView final_norm;  // (hidden_size)
  TensorView head;        // (vocab_size, hidden_size); the embedding again where tied
  bool interleaved_qk = false;
  std::vector<LayerWeights> layers;
};

}  // namespace tovamill
