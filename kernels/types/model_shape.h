// The numbers of a decoder-only transformer that its arithmetic needs, in the words of Hugging
// Face's config.json.
#pragma once

#include <algorithm>
#include <cstdint>
#include <vector>

#include "kernels/types/layer_shape.h"
#include "kernels/types/tensor.h"

namespace tovamill {

// rms: x / sqrt(mean(x^2) + eps) * weight; layer: (x - mean(x)) / sqrt(var(x) + eps) * weight +
// bias. rms has no bias. Queries and keys have norms of the kind rms always.
enum class NormKind : std::uint8_t { rms, layer };

// Of one norm; `bias` is empty where it has none.
struct NormWeights {
  std::vector<float> weight, bias;
  float eps_factor = 1;  // of ModelShape::norm_eps
};

// Of a layer's attention.
struct LayerHeads {
  std::int32_t n_heads = 0, n_kv_heads = 0, head_dim = 0;
  std::int32_t q_size() const { return n_heads * head_dim; }
  std::int32_t kv_size() const { return n_kv_heads * head_dim; }
  std::int32_t qkv_size() const { return q_size() + 2 * kv_size(); }
  std::int32_t queries_per_kv_head() const { return n_heads / n_kv_heads; }
  bool operator==(const LayerHeads&) const = default;
};

struct ModelShape {
  std::int32_t n_layers = 0;  // num_hidden_layers; of a stage: those that it has
  std::int32_t hidden_size = 0;
  // The most that a layer has.
  std::int32_t intermediate_size = 0;
  std::int32_t n_heads = 0;     // num_attention_heads
  std::int32_t n_kv_heads = 0;  // num_key_value_heads
  std::int32_t head_dim = 0;
  std::int32_t vocab_size = 0;
  std::int32_t trained_context = 0;  // max_position_embeddings, tokens
  NormKind norm = NormKind::rms;
  bool norm_bias = false;  // norms of hidden rows have biases
  float norm_eps = 1e-5f;
  float qk_norm_eps = 1e-5f;
  float embedding_scale = 1;  // the embedding's rows are multiplied with it
  float logit_cap = 0;        // logits become cap * tanh(logit / cap); 0: as they are
  // Columns of each layer in rows that every layer adds to the hidden ones in a way of its own
  // (Gemma 4's per-layer embeddings); 0: there are none.
  std::int32_t per_layer_size = 0;
  // (tables, half the head size of the layers that have it) rotary frequencies in radians per
  // token, scaling applied; of all layers.
  std::vector<std::vector<double>> ropes = {};
  std::vector<LayerShape> layers = {};  // of the whole model
  std::int32_t first_layer = 0;         // of `layers`: the first of the n_layers

  // What layer `l` of n_layers computes.
  const LayerShape& layer(std::int32_t l) const {
    return layers.at(static_cast<std::size_t>(first_layer + l));
  }
  // Of layer `l` of n_layers; a layer that does not say it has the model's.
  LayerHeads heads(std::int32_t l) const {
    const LayerShape& s = layer(l);
    return {.n_heads = s.n_heads > 0 ? s.n_heads : n_heads,
            .n_kv_heads = s.n_kv_heads > 0 ? s.n_kv_heads : n_kv_heads,
            .head_dim = s.head_dim > 0 ? s.head_dim : head_dim};
  }
  // Columns of the feed-forward that every token of the layer takes, 0 where it has experts alone;
  // a layer that does not say it has the model's.
  std::int32_t inner_size(const LayerShape& l) const {
    return l.intermediate_size > 0 || l.experts.n_experts > 0 ? l.intermediate_size
                                                              : intermediate_size;
  }
  // The most of each number that a layer has; 0 experts where none has any.
  ExpertsShape widest_experts() const {
    ExpertsShape widest;
    for (const LayerShape& l : layers) {
      widest.n_experts = std::max(widest.n_experts, l.experts.n_experts);
      widest.n_used = std::max(widest.n_used, l.experts.n_used);
      widest.intermediate_size = std::max(widest.intermediate_size, l.experts.intermediate_size);
    }
    return widest;
  }
  bool heads_differ() const {
    for (std::int32_t l = 1; l < n_layers; ++l) {
      if (heads(l) != heads(0)) return true;
    }
    return false;
  }
  std::int32_t q_size() const { return n_heads * head_dim; }
  std::int32_t kv_size() const { return n_kv_heads * head_dim; }
  std::int32_t queries_per_kv_head() const { return n_heads / n_kv_heads; }
};

// Where the rows of a head of q and k stand in a file. Here dimension i < head_dim / 2 is rotated
// together with i + head_dim / 2.
struct RotaryLayout {
  bool interleaved = false;     // in the file 2i with 2i + 1, else i with i + rotary_dim / 2
  std::int32_t rotary_dim = 0;  // the first so many are rotated, the rest not at all; 0: all
  float factor = 1;             // rows of rotated dimensions are multiplied with it

  // Which dimension of a head of the file becomes dimension `i`.
  std::int64_t dim_in_file(std::int64_t i, std::int32_t head_dim) const {
    const std::int64_t half = head_dim / 2, n = (rotary_dim > 0 ? rotary_dim : head_dim) / 2;
    const std::int64_t pair = i % half, second = i / half;
    if (pair >= n) return n + pair + second * (half - n);
    return interleaved ? 2 * pair + second : pair + second * n;
  }
  // What the row of dimension `i` is multiplied with.
  float factor_of(std::int64_t i, std::int32_t head_dim) const {
    const std::int64_t half = head_dim / 2, n = (rotary_dim > 0 ? rotary_dim : head_dim) / 2;
    return i % half < n ? factor : 1.0f;
  }
};

// Of one expert.
struct ExpertTensors {
  TensorView gate, up;                       // (ExpertsShape::intermediate_size, hidden_size)
  TensorView down;                           // (hidden_size, ExpertsShape::intermediate_size)
  TensorView gate_bias, up_bias, down_bias;  // rows of the above
};

// The weights of one layer as views of the model file. An empty view (data == nullptr) is an absent
// tensor.
struct LayerWeights {
  TensorView attention_norm, attention_norm_bias;  // (hidden_size)
  TensorView q, k, v;  // (n_heads * head_dim | n_kv_heads * head_dim, hidden_size)
  TensorView q_bias, k_bias, v_bias, o_bias;  // rows of the above
  TensorView q_norm, k_norm;                  // (head_dim), or QkNorm::row: rows of q and k
  TensorView sinks;                           // (n_heads)
  TensorView o;                               // (hidden_size, n_heads * head_dim)
  TensorView attention_post_norm;             // (hidden_size)
  TensorView ffn_norm, ffn_norm_bias;         // (hidden_size)
  TensorView gate, up;                        // (intermediate_size, hidden_size)
  TensorView down;                            // (hidden_size, intermediate_size)
  TensorView gate_bias, up_bias, down_bias;   // rows of the above
  TensorView ffn_post_norm;                   // (hidden_size)
  // Where the layer has experts; gate, up and down are then of the shared one.
  TensorView router, router_bias;  // (n_experts, hidden_size), (n_experts)
  TensorView shared_gate;          // (1, hidden_size)
  std::vector<ExpertTensors> experts;
  // Of per-layer embeddings: (per_layer_size, hidden_size), its inverse, (hidden_size).
  TensorView input_gate, input_projection, input_norm;
  TensorView output_scale;  // (1)
  // (1) Xielu's numbers, the alphas before softplus.
  TensorView xielu_alpha_p, xielu_alpha_n, xielu_beta, xielu_eps;
};

struct ModelWeights {
  TensorView embedding;                    // (vocab_size, hidden_size)
  TensorView final_norm, final_norm_bias;  // (hidden_size)
  TensorView head;  // (vocab_size, hidden_size); the embedding again where tied
  // Per-layer embeddings: (vocab_size, n_layers * per_layer_size), (n_layers * per_layer_size,
  // hidden_size), (per_layer_size).
  TensorView per_layer_embedding, per_layer_projection, per_layer_norm;
  RotaryLayout rotary;
  std::vector<LayerWeights> layers;
};

}  // namespace tovamill
