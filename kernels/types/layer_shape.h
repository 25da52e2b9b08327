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

// gelu: x Phi(x); gelu_tanh: its approximation by tanh; relu2: max(x, 0)^2. clamped_swiglu is of
// gate and up together (gpt-oss): g sigmoid(1.702 g) (u + 1), g = min(gate, limit), u of [-limit,
// limit].
enum class Activation : std::uint8_t { silu, gelu, gelu_tanh, relu2, clamped_swiglu };
inline constexpr int kActivations = 5;
inline constexpr float kSwigluLimit = 7.0f, kSwigluSlope = 1.702f;

// What is normalised of queries and of keys before their rotation: each head by itself, or all
// heads of a row at once.
enum class QkNorm : std::uint8_t { none, heads, row };

// LayerShape::rope of a layer whose queries and keys are not rotated (NoPE).
inline constexpr std::int32_t kNoRope = -1;

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
  // Feed-forward.
  ExpertsShape experts = {};
  std::int32_t intermediate_size = 0;  // 0: experts alone
  Activation activation = Activation::silu;
  bool gated = true;  // else down(activation(up norm(x)))
  bool mlp_bias = false;
  bool mlp_bias_where_present = false;  // as AttentionBias::where_present
  // Where norms stand.
  bool pre_norm = true;    // of what attention and feed-forward read
  bool post_norm = false;  // of what they give, before it is added to x
  bool parallel = false;   // the feed-forward reads what attention reads
};

// What the fast backends multiply scores with.
inline float score_scale(const LayerShape& layer, std::int32_t head_dim) {
  if (layer.attention_scale != 0) return static_cast<float>(layer.attention_scale);
  return 1.0f / std::sqrt(static_cast<float>(head_dim));
}

}  // namespace tovamill
