// The tensors of a model by the names that Hugging Face or GGUF give them, with every shape
// checked.
#include <string>
#include <vector>

#include "engine/model/model_config.h"
#include "kernels/types/error.h"

namespace tovamill {

namespace {

// The names of one layer's parts in a file format, without the layer's prefix.
struct LayerNames {
  const char* attention_norm;
  const char *q, *k, *v, *o;  // without ".weight" and ".bias"
  const char *q_norm, *k_norm;
  const char* ffn_norm;
  const char *gate, *up, *down;
};

constexpr LayerNames kHf = {.attention_norm = "input_layernorm",
                            .q = "self_attn.q_proj",
                            .k = "self_attn.k_proj",
                            .v = "self_attn.v_proj",
                            .o = "self_attn.o_proj",
                            .q_norm = "self_attn.q_norm",
                            .k_norm = "self_attn.k_norm",
                            .ffn_norm = "post_attention_layernorm",
                            .gate = "mlp.gate_proj",
                            .up = "mlp.up_proj",
                            .down = "mlp.down_proj"};

constexpr LayerNames kGguf = {.attention_norm = "attn_norm",
                              .q = "attn_q",
                              .k = "attn_k",
                              .v = "attn_v",
                              .o = "attn_output",
                              .q_norm = "attn_q_norm",
                              .k_norm = "attn_k_norm",
                              .ffn_norm = "ffn_norm",
                              .gate = "ffn_gate",
                              .up = "ffn_up",
                              .down = "ffn_down"};

using Shape = std::vector<std::int64_t>;

std::string shown(const Shape& shape) {
  std::string text = "(";
  for (std::size_t i = 0; i < shape.size(); ++i) {
    text += (i == 0 ? "" : ", ") + std::to_string(shape[i]);
  }
  return text + ")";
}

class Collector {
 public:
  Collector(const ModelConfig& config, const FindTensor& find, const std::string& where)
      : config_(config), find_(find), where_(where) {}

  TensorView needed(const std::string& name, const Shape& shape) const {
    TensorView tensor = optional(name, shape);
    if (tensor.data == nullptr) throw BadData(where_ + ": tensor '" + name + "' is missing");
    return tensor;
  }

  // An empty view where there is none.
  TensorView optional(const std::string& name, const Shape& shape) const {
    const auto tensor = find_(name);
    if (!tensor) return {};
    if (tensor->shape != shape) {
      throw BadData(where_ + ": tensor '" + name + "' has the shape " + shown(tensor->shape) +
                    " where the configuration needs " + shown(shape));
    }
    return *tensor;
  }

  // A tensor that the model would need and that the forward step does not know.
  void refuse(const std::string& name) const {
    if (find_(name)) throw BadData(where_ + ": tensor '" + name + "' is not supported");
  }

  LayerWeights layer(const std::string& prefix, const LayerNames& names) const {
    const ModelShape& s = config_.shape;
    const auto weight = [&](const char* name, const Shape& shape) {
      return needed(prefix + name + ".weight", shape);
    };
    LayerWeights layer;
    layer.attention_norm = weight(names.attention_norm, {s.hidden_size});
    layer.q = weight(names.q, {s.q_size(), s.hidden_size});
    layer.k = weight(names.k, {s.kv_size(), s.hidden_size});
    layer.v = weight(names.v, {s.kv_size(), s.hidden_size});
    layer.o = weight(names.o, {s.hidden_size, s.q_size()});
    layer.ffn_norm = weight(names.ffn_norm, {s.hidden_size});
    layer.gate = weight(names.gate, {s.intermediate_size, s.hidden_size});
    layer.up = weight(names.up, {s.intermediate_size, s.hidden_size});
    layer.down = weight(names.down, {s.hidden_size, s.intermediate_size});
    if (config_.qk_norm) {
      layer.q_norm = weight(names.q_norm, {s.head_dim});
      layer.k_norm = weight(names.k_norm, {s.head_dim});
    } else {
      refuse(prefix + names.q_norm + ".weight");
      refuse(prefix + names.k_norm + ".weight");
    }
    add_biases(layer, prefix, names);
    for (const char* name : {names.gate, names.up, names.down}) refuse(prefix + name + ".bias");
    return layer;
  }

 private:
  void add_biases(LayerWeights& layer, const std::string& prefix, const LayerNames& names) const {
    const ModelShape& s = config_.shape;
    const AttentionBias wanted = config_.attention_bias;
    const auto bias = [&](const char* name, std::int64_t n, bool is_needed) -> TensorView {
      const std::string full = prefix + name + ".bias";
      if (is_needed) return needed(full, {n});
      if (wanted == AttentionBias::where_present) return optional(full, {n});
      refuse(full);
      return {};
    };
    const bool qkv = wanted == AttentionBias::qkv || wanted == AttentionBias::qkvo;
    layer.q_bias = bias(names.q, s.q_size(), qkv);
    layer.k_bias = bias(names.k, s.kv_size(), qkv);
    layer.v_bias = bias(names.v, s.kv_size(), qkv);
    layer.o_bias = bias(names.o, s.hidden_size, wanted == AttentionBias::qkvo);
  }

  const ModelConfig& config_;
  const FindTensor& find_;
  const std::string& where_;
};

}  // namespace

ModelWeights weights_from_hf(const ModelConfig& config, const FindTensor& find,
                             const std::string& where) {
  const Collector collect(config, find, where);
  const Shape table{config.shape.vocab_size, config.shape.hidden_size};
  ModelWeights weights;
  weights.interleaved_qk = config.interleaved_qk;
  weights.embedding = collect.needed("model.embed_tokens.weight", table);
  weights.final_norm = collect.needed("model.norm.weight", {config.shape.hidden_size});
  if (config.tied_head) {
    weights.head = weights.embedding;
  } else if (!find("lm_head.weight")) {
    throw BadData(where + ": tensor 'lm_head.weight' is missing, and tie_word_embeddings is false");
  } else {
    weights.head = collect.needed("lm_head.weight", table);
  }
  for (std::int32_t i = 0; i < config.shape.n_layers; ++i) {
    weights.layers.push_back(collect.layer("model.layers." + std::to_string(i) + ".", kHf));
  }
  return weights;
}

ModelWeights weights_from_gguf(const ModelConfig& config, const FindTensor& find,
                               const std::string& where) {
  const Collector collect(config, find, where);
  const Shape table{config.shape.vocab_size, config.shape.hidden_size};
  ModelWeights weights;
  weights.interleaved_qk = config.interleaved_qk;
  weights.embedding = collect.needed("token_embd.weight", table);
  weights.final_norm = collect.needed("output_norm.weight", {config.shape.hidden_size});
  weights.head = collect.optional("output.weight", table);
  if (weights.head.data == nullptr) weights.head = weights.embedding;
  for (std::int32_t i = 0; i < config.shape.n_layers; ++i) {
    weights.layers.push_back(collect.layer("blk." + std::to_string(i) + ".", kGguf));
  }
  return weights;
}

}  // namespace tovamill
