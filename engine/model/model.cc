#include "engine/model/model.h"

#include <algorithm>
#include <cmath>

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
std::vector<float> read_qk_norm(const ModelConfig& config, std::int32_t d,
                                const TensorView& tensor) {
  const std::vector<float> file = read_norm(config, tensor);
  std::vector<float> values(file.size());
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
// `kv`: the layer that has the keys and values.
void read_qk_norms(const ModelConfig& config, const LayerShape& shape, const LayerWeights& w,
                   const LayerWeights& kv, AttentionWeights& attention) {
  attention.q_norm = read_qk_norm(config, shape.head_dim, w.q_norm);
  attention.k_norm = read_qk_norm(config, shape.head_dim, kv.k_norm);
  if (shape.v_norm) attention.v_norm.assign(static_cast<std::size_t>(shape.head_dim), 1.0f);
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

std::unique_ptr<Matrix> pack_qkv(const ModelConfig& config, const LayerShape& shape,
                                 const LayerWeights& w, Device& device) {
  Device::MatrixSource source{.parts = {w.q},
                              .biases = {w.q_bias},
                              .rotated = {true},
                              .rotary = config.rotary,
                              .head_dim = shape.head_dim};
  if (shape.kv_source == kOwnKv) {
    source.parts.insert(source.parts.end(), {w.k, w.v});
    source.biases.insert(source.biases.end(), {w.k_bias, w.v_bias});
    source.rotated.insert(source.rotated.end(), {true, false});
  }
  return device.pack(source);
}

void pack_layer_input(const ModelConfig& config, const LayerWeights& w, Device& device,
                      Layer& layer) {
  if (w.output_scale.data != nullptr) layer.output_scale = read_vector(w.output_scale).front();
  if (w.input_gate.data == nullptr) return;
  layer.input_gate = device.pack({.parts = {w.input_gate}});
  layer.input_projection = device.pack({.parts = {w.input_projection}});
  layer.input_norm = read_norm(config, w.input_norm, {});
}

Layer pack_layer(const ModelConfig& config, const ModelWeights& weights, std::size_t l,
                 Device& device) {
  const LayerShape& shape = config.shape.layers[l];
  const LayerWeights& w = weights.layers[l];
  const std::size_t kv = shape.kv_source == kOwnKv ? l : static_cast<std::size_t>(shape.kv_source);
  Layer layer;
  layer.attention_norm = read_norm(config, w.attention_norm, w.attention_norm_bias);
  layer.attention_post_norm = read_norm(config, w.attention_post_norm, {});
  layer.attention.qkv = pack_qkv(config, shape, w, device);
  read_qk_norms(config, shape, w, weights.layers[kv], layer.attention);
  layer.attention.sinks = read_vector(w.sinks);
  layer.o = device.pack({.parts = {w.o}, .biases = {w.o_bias}});
  layer.ffn_norm = read_norm(config, w.ffn_norm, w.ffn_norm_bias);
  layer.ffn_post_norm = read_norm(config, w.ffn_post_norm, {});
  if (w.up.data != nullptr) {
    layer.gate_up = pack_feed_forward(w, device);
    layer.xielu = read_xielu(shape, w);
    layer.down = device.pack({.parts = {w.down}, .biases = {w.down_bias}});
  }
  pack_layer_input(config, w, device, layer);
  if (w.experts.empty()) return layer;
  layer.router = device.pack({.parts = {w.router}, .biases = {w.router_bias}});
  layer.experts = device.pack_experts(w.experts);
  layer.shared_gate = read_vector(w.shared_gate);
  return layer;
}

// What layers add of their own is (norm(hidden P^T / sqrt(hidden_size)) + e) / sqrt(2), e of the
// embedding.
void pack_per_layer(const ModelConfig& config, const ModelWeights& weights, Device& device,
                    Model& model) {
  if (config.shape.per_layer_size == 0) return;
  model.per_layer_embedding = weights.per_layer_embedding;
  device.hold_embedding(weights.per_layer_embedding);
  model.per_layer_projection = device.pack({.parts = {weights.per_layer_projection}});
  model.per_layer_norm = read_norm(config, weights.per_layer_norm, {});
  model.per_layer_norm.eps_factor = static_cast<float>(config.shape.hidden_size);
  for (float& v : model.per_layer_norm.weight) v *= std::sqrt(0.5f);
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

std::uint64_t head_parameters(const ModelShape& s) {
  return static_cast<std::uint64_t>(s.hidden_size) * static_cast<std::uint64_t>(s.vocab_size);
}

namespace {

enum class OfExperts { all, used };

std::uint64_t parameters_of_layer(const ModelShape& s, std::int32_t l, OfExperts which) {
  const LayerShape& layer = s.layers.at(static_cast<std::size_t>(l));
  ModelShape whole = s;
  whole.first_layer = 0;
  const LayerHeads heads = whole.heads(l);
  const auto hidden = static_cast<std::uint64_t>(s.hidden_size);
  const std::int32_t n_kv = layer.kv_source == kOwnKv ? 2 * heads.kv_size() : 0;
  const auto attention = static_cast<std::uint64_t>(2 * heads.q_size() + n_kv);
  const ExpertsShape& e = layer.experts;
  const std::uint64_t mlp =
      (layer.gated ? 3u : 2u) * static_cast<std::uint64_t>(s.inner_size(layer));
  const auto router = static_cast<std::uint64_t>(e.n_experts),
             n_experts =
                 static_cast<std::uint64_t>(which == OfExperts::all ? e.n_experts : e.n_used),
             experts = 3 * n_experts * static_cast<std::uint64_t>(e.intermediate_size);
  return hidden *
         (attention + mlp + router + experts + 2 * static_cast<std::uint64_t>(s.per_layer_size));
}

std::uint64_t parameters_of(const ModelShape& shape, const LayerRange& range, OfExperts which) {
  std::uint64_t sum = range.has_head() ? head_parameters(shape) : 0;
  for (std::int32_t l = range.first; l < range.first + range.n; ++l)
    sum += parameters_of_layer(shape, l, which);
  const std::uint64_t per_layer =
      static_cast<std::uint64_t>(shape.per_layer_size) * static_cast<std::uint64_t>(range.n_all);
  return sum + per_layer * static_cast<std::uint64_t>(shape.hidden_size);
}

}  // namespace

std::uint64_t matrix_parameters(const ModelShape& shape, const LayerRange& range) {
  return parameters_of(shape, range, OfExperts::all);
}

std::uint64_t active_parameters(const ModelShape& shape, const LayerRange& range) {
  return parameters_of(shape, range, OfExperts::used);
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
  if (range.has_embedding()) pack_per_layer(config, weights, device, model);
  for (std::int32_t l = range.first; l < range.first + range.n; ++l)
    model.layers.push_back(pack_layer(config, weights, static_cast<std::size_t>(l), device));
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
  if (per_layer_projection) sum += per_layer_projection->n_bytes();
  for (const Layer& l : layers) {
    sum += l.attention.qkv->n_bytes() + l.o->n_bytes();
    for (const Matrix* m : {l.gate_up.get(), l.down.get(), l.router.get(), l.input_gate.get(),
                            l.input_projection.get()})
      sum += m != nullptr ? m->n_bytes() : 0;
    if (l.experts != nullptr) sum += l.experts->n_bytes();
  }
  return sum;
}

}  // namespace tovamill
