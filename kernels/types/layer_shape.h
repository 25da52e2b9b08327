// What one layer of a decoder-only transformer computes, with the norms, biases, rotation, window
// and activation that its fields say. Layers of one model may differ.
//   x += post(attention(pre(x)));  x += post(down(activation(gate pre(x)) * (up pre(x))))
// or, `parallel`,
//   x += attention(pre(x)) + down(activation(gate pre(x)) * (up pre(x)))
#pragma once

#include <cmath>
#include <cstdint>

#include "kernels/types/experts_shape.h"

namespace tovamill {

// Which projections of the attention have biases. `where_present`: GGUF files say it by the tensors
// they hold.
enum class AttentionBias : std::uint8_t { none, qkv, qkvo, where_present };

// gelu: x Phi(x); gelu_tanh: its approximation by tanh; relu2: max(x, 0)^2; xielu: with the numbers
// of each layer (Xielu), in layers without a gate alone. clamped_swiglu is of gate and up together
// (gpt-oss): g sigmoid(1.702 g) (u + 1), g = min(gate, limit), u of [-limit, limit].
enum class Activation : std::uint8_t { silu, gelu, gelu_tanh, relu2, xielu, clamped_swiglu };
inline constexpr int kActivations = 6;
inline constexpr float kSwigluLimit = 7.0f, kSwigluSlope = 1.702f;

// Huang and Schlag 2024, arXiv:2411.13010: alpha_p x^2 + beta x where x > 0, else
// alpha_n (e^min(x, eps) - 1 - x) + beta x.
struct Xielu {
  float alpha_p = 0, alpha_n = 0, beta = 0, eps = 0;
  bool operator==(const Xielu&) const = default;
};

// Its numbers as models hold them: the alphas before softplus, that of negative x without beta.
inline Xielu xielu_of(float alpha_p, float alpha_n, float beta, float eps) {
  const auto softplus = [](float x) { return x > 20.0f ? x : std::log1p(std::exp(x)); };
  return {
      .alpha_p = softplus(alpha_p), .alpha_n = beta + softplus(alpha_n), .beta = beta, .eps = eps};
}

// What is normalised of queries and of keys: each head by itself, or all heads of a row at once,
// before their rotation; or each head behind it.
enum class QkNorm : std::uint8_t { none, heads, row, rotated_heads };

// LayerShape::rope of a layer whose queries and keys are not rotated (NoPE).
inline constexpr std::int32_t kNoRope = -1;

// LayerShape::kv_source of a layer that has keys and values of its own.
inline constexpr std::int32_t kOwnKv = -1;

struct LayerShape {
  // Attention.
  std::int32_t n_heads = 0;  // of queries
  std::int32_t n_kv_heads = 0;
  std::int32_t head_dim = 0;
  std::int32_t sliding_window = 0;  // tokens: a key is visible iff position > t - window; 0 is none
  std::int32_t rope = 0;            // which of ModelShape::ropes; kNoRope
  double attention_scale = 0;       // of the scores q . k; 0 is 1 / sqrt(head_dim)
  double score_cap =
      0;  // scores become cap * tanh(score / cap), before the softmax; 0: as they are
  // Each head has a logit of its own in the denominator of its softmax, which belongs to no token
  // (AttentionWeights::sinks).
  bool has_sinks = false;
  AttentionBias attention_bias = AttentionBias::none;
  QkNorm qk_norm = QkNorm::none;
  bool v_norm = false;  // values are normalised, each head by itself, without weights
  bool k_is_v = false;  // values are the keys before their norm and rotation
  // The layer of the whole model, before this one and of the same heads, whose keys and values are
  // this one's, too; which of them a bounded state keeps each layer decides for itself.
  std::int32_t kv_source = kOwnKv;
  // Queries at position p are multiplied with 1 + query_beta ln(1 + floor(p / query_length)), as in
  // Llama 4; p counts from the start of the chunk, whatever rotary positions there are.
  double query_beta = 0;  // 0: with nothing
  std::int32_t query_length = 1;
  // Feed-forward.
  ExpertsShape experts = {};
  std::int32_t intermediate_size = 0;  // 0: experts alone
  Activation activation = Activation::silu;
  Xielu xielu = {};   // where the configuration has its numbers, not tensors
  bool gated = true;  // else down(activation(up norm(x)))
  bool mlp_bias = false;
  bool mlp_bias_where_present = false;  // as AttentionBias::where_present
  // Where norms stand.
  bool pre_norm = true;    // of what attention and feed-forward read
  bool post_norm = false;  // of what they give, before it is added to x
  bool parallel = false;   // the feed-forward reads what attention reads
};

inline double query_factor(const LayerShape& layer, std::int64_t position) {
  if (layer.query_beta == 0) return 1;
  const std::int64_t n_lengths = position / layer.query_length;
  return 1 + layer.query_beta * std::log(1.0 + static_cast<double>(n_lengths));
}

// What the fast backends multiply scores with.
inline float score_scale(const LayerShape& layer, std::int32_t head_dim) {
  if (layer.attention_scale != 0) return static_cast<float>(layer.attention_scale);
  return 1.0f / std::sqrt(static_cast<float>(head_dim));
}

}  // namespace tovamill
