#include "engine/model/model.h"

namespace tovamill {
namespace {

std::vector<float> read_vector(const TensorView& tensor) {
  if (tensor.data == nullptr) return {};
  std::vector<float> values(static_cast<std::size_t>(tensor.n_elements()));
  dequantize_row(tensor, 0, values.data());
  return values;
}

// Norms whose files hold what is added to 1 (ModelConfig::norm_offset).
std::vector<float> read_norm(const ModelConfig& config, const TensorView& tensor) {
  std::vector<float> values = read_vector(tensor);
  for (float& v : values) v += config.norm_offset;
  return values;
}

NormWeights read_norm(const ModelConfig& config, const TensorView& weight, const TensorView& bias) {
  return {.weight = read_norm(config, weight), .bias = read_vector(bias)};
}

// Of queries or keys; heads in the order of RotaryLayout.
std::vector<float> read_qk_norm(const ModelConfig& config, const TensorView& tensor) {
  const std::vector<float> file = read_norm(config, tensor);
  std::vector<float> values(file.size());
  const std::int32_t d = config.shape.head_dim;
  for (std::size_t i = 0; i < file.size(); ++i) {
    const auto at = static_cast<std::int64_t>(i);
    values[i] = file[static_cast<std::size_t>(at / d * d + config.rotary.dim_in_file(at % d, d))];
  }
  return values;
}

std::unique_ptr<Matrix> pack_feed_forward(const LayerWeights& w, Device& device) {
  if (w.gate.data == nullptr) return device.pack({.parts = {w.up}, .biases = {w.up_bias}});
  return device.pack_gated({w.gate, w.up, w.gate_bias, w.up_bias});
}

// Norms of rotated heads do not see the rotation: they normalise before it, and the weights of both
// meet the queries behind it.
void read_qk_norms(const ModelConfig& config, const LayerShape& shape, const LayerWeights& w,
                   AttentionWeights& attention) {
  attention.q_norm = read_qk_norm(config, w.q_norm);
  attention.k_norm = read_qk_norm(config, w.k_norm);
  if (shape.qk_norm != QkNorm::rotated_heads) return;
  attention.q_factor.resize(attention.q_norm.size());
  for (std::size_t i = 0; i < attention.q_factor.size(); ++i)
    attention.q_factor[i] = attention.q_norm[i] * attention.k_norm[i];
  attention.q_norm.assign(attention.q_norm.size(), 1.0f);
  attention.k_norm = attention.q_norm;
}

Xielu read_xielu(const LayerShape& shape, const LayerWeights& w) {
  if (w.xielu_alpha_p.data == nullptr) return shape.xielu;
  const auto number = [](const TensorView& tensor) { return read_vector(tensor).front(); };
  return xielu_of(number(w.xielu_alpha_p), number(w.xielu_alpha_n), number(w.xielu_beta),
                  number(w.xielu_eps));
}

Layer pack_layer(const ModelConfig& config, const LayerShape& shape, const LayerWeights& w,
                 Device& device) {
  Layer layer;
  layer.attention_norm = read_norm(config, w.attention_norm, w.attention_norm_bias);
  layer.attention_post_norm = read_norm(config, w.attention_post_norm, {});
  layer.attention.qkv = device.pack({.parts = {w.q, w.k, w.v},
                                     .biases = {w.q_bias, w.k_bias, w.v_bias},
                                     .rotated = {true, true, false},
                                     .rotary = config.rotary,
                                     .head_dim = config.shape.head_dim});
  read_qk_norms(config, shape, w, layer.attention);
  layer.o = device.pack({.parts = {w.o}, .biases = {w.o_bias}});
  layer.ffn_norm = read_norm(config, w.ffn_norm, w.ffn_norm_bias);
  layer.ffn_post_norm = read_norm(config, w.ffn_post_norm, {});
  layer.gate_up = pack_feed_forward(w, device);
  layer.xielu = read_xielu(shape, w);
  layer.down = device.pack({.parts = {w.down}, .biases = {w.down_bias}});
  return layer;
}

// What the head multiplies is scaled in its stead.
NormWeights read_final_norm(const ModelConfig& config, const ModelWeights& weights) {
  NormWeights norm = read_norm(config, weights.final_norm, weights.final_norm_bias);
  for (std::vector<float>* values : {&norm.weight, &norm.bias}) {
    for (float& v : *values) v *= config.logit_scale;
  }
  return norm;
}

}  // namespace

LayerRange all_layers(const ModelConfig& config) {
  return {.first = 0, .n = config.shape.n_layers, .n_all = config.shape.n_layers};
}

std::uint64_t layer_parameters(const ModelShape& s) {
  const auto hidden = static_cast<std::uint64_t>(s.hidden_size);
  const auto attention = static_cast<std::uint64_t>(2 * s.q_size() + 2 * s.kv_size());
  // Layers of a model are all with a gate or all without.
  const std::uint64_t n_mlp = s.layers.empty() || s.layers.front().gated ? 3 : 2;
  return hidden * attention + n_mlp * hidden * static_cast<std::uint64_t>(s.intermediate_size);
}

std::uint64_t head_parameters(const ModelShape& s) {
  return static_cast<std::uint64_t>(s.hidden_size) * static_cast<std::uint64_t>(s.vocab_size);
}

std::uint64_t matrix_parameters(const ModelShape& shape, const LayerRange& range) {
  return static_cast<std::uint64_t>(range.n) * layer_parameters(shape) +
         (range.has_head() ? head_parameters(shape) : 0);
}

Model pack_layers(const ModelConfig& config, const ModelWeights& weights, const LayerRange& range,
                  Device& device) {
  Model model;
  model.config = config;
  model.range = range;
  if (range.has_embedding()) {
    model.embedding = weights.embedding;
    device.hold_embedding(weights.embedding);
  }
  for (std::int32_t l = range.first; l < range.first + range.n; ++l) {
    const auto at = static_cast<std::size_t>(l);
    model.layers.push_back(pack_layer(config, config.shape.layers[at], weights.layers[at], device));
  }
  if (range.has_head()) {
    model.final_norm = read_final_norm(config, weights);
    model.head = device.pack({.parts = {weights.head}});
  }
  device.end_set_up();
  return model;
}

Model pack_model(const ModelConfig& config, const ModelWeights& weights, Device& device) {
  return pack_layers(config, weights, all_layers(config), device);
}

std::uint64_t Model::weight_bytes() const {
  std::uint64_t sum = head ? head->n_bytes() : 0;
  for (const Layer& l : layers) {
    sum += l.attention.qkv->n_bytes() + l.o->n_bytes() + l.gate_up->n_bytes() + l.down->n_bytes();
  }
  return sum;
}

}  // namespace tovamill
