#include "engine/model.h"

namespace tovamill {
namespace {

std::vector<float> read_vector(const TensorView& tensor) {
  if (tensor.data == nullptr) return {};
  std::vector<float> values(static_cast<std::size_t>(tensor.n_elements()));
  dequantize_row(tensor, 0, values.data());
  return values;
}

Layer pack_layer(const ModelConfig& config, const LayerWeights& w, Backend& backend) {
  Layer layer;
  layer.attention_norm = read_vector(w.attention_norm);
  layer.attention.qkv =
      backend.pack({.parts = {w.q, w.k, w.v},
                    .biases = {w.q_bias, w.k_bias, w.v_bias},
                    .interleaved = {config.interleaved_qk, config.interleaved_qk, false},
                    .head_dim = config.shape.head_dim});
  layer.attention.q_norm = read_vector(w.q_norm);
  layer.attention.k_norm = read_vector(w.k_norm);
  layer.o = backend.pack({.parts = {w.o}, .biases = {w.o_bias}, .interleaved = {}});
  layer.ffn_norm = read_vector(w.ffn_norm);
  layer.gate_up = backend.pack_gated(w.gate, w.up);
  layer.down = backend.pack({.parts = {w.down}, .biases = {}, .interleaved = {}});
  return layer;
}

}  // namespace

Model pack_model(const ModelConfig& config, const ModelWeights& weights, Backend& backend) {
  Model model;
  model.config = config;
  model.embedding = weights.embedding;
  backend.hold_embedding(weights.embedding);
  for (const LayerWeights& w : weights.layers)
    model.layers.push_back(pack_layer(config, w, backend));
  model.final_norm = read_vector(weights.final_norm);
  model.head = backend.pack({.parts = {weights.head}, .biases = {}, .interleaved = {}});
  backend.end_set_up();
  return model;
}

std::uint64_t Model::weight_bytes() const {
  std::uint64_t sum = head->n_bytes();
  for (const Layer& l : layers) {
    sum += l.attention.qkv->n_bytes() + l.o->n_bytes() + l.gate_up->n_bytes() + l.down->n_bytes();
  }
  return sum;
}

}  // namespace tovamill
