#include "engine/model/model.h"

namespace tovamill {
namespace {

std::vector<float> read_vector(const TensorView& tensor) {
  if (tensor.data == nullptr) return {};
  std::vector<float> values(static_cast<std::size_t>(tensor.n_elements()));
  dequantize_row(tensor, 0, values.data());
  return values;
}

Layer pack_layer(const ModelConfig& config, const LayerWeights& w, Device& device) {
  Layer layer;
  layer.attention_norm = read_vector(w.attention_norm);
  layer.attention.qkv =
      device.pack({.parts = {w.q, w.k, w.v},
                   .biases = {w.q_bias, w.k_bias, w.v_bias},
                   .interleaved = {config.interleaved_qk, config.interleaved_qk, false},
                   .head_dim = config.shape.head_dim});
  layer.attention.q_norm = read_vector(w.q_norm);
  layer.attention.k_norm = read_vector(w.k_norm);
  layer.o = device.pack({.parts = {w.o}, .biases = {w.o_bias}, .interleaved = {}});
  layer.ffn_norm = read_vector(w.ffn_norm);
  layer.gate_up = device.pack_gated(w.gate, w.up);
  layer.down = device.pack({.parts = {w.down}, .biases = {}, .interleaved = {}});
  return layer;
}

}  // namespace

LayerRange all_layers(const ModelConfig& config) {
  return {.first = 0, .n = config.shape.n_layers, .n_all = config.shape.n_layers};
}

std::uint64_t layer_parameters(const ModelShape& s) {
  const auto hidden = static_cast<std::uint64_t>(s.hidden_size);
  const auto attention = static_cast<std::uint64_t>(2 * s.q_size() + 2 * s.kv_size());
  return hidden * attention + 3 * hidden * static_cast<std::uint64_t>(s.intermediate_size);
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
  for (std::int32_t l = range.first; l < range.first + range.n; ++l)
    model.layers.push_back(pack_layer(config, weights.layers[static_cast<std::size_t>(l)], device));
  if (range.has_head()) {
    model.final_norm = read_vector(weights.final_norm);
    model.head = device.pack({.parts = {weights.head}, .biases = {}, .interleaved = {}});
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
