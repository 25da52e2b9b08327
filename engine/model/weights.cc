// The tensors of a model by the names that its family gives them, with every shape checked.
#include <string>
#include <vector>

#include "engine/model/model_config.h"
#include "engine/model/tensor_names.h"
#include "kernels/types/error.h"

namespace tovamill {

namespace {

using Shape = std::vector<std::int64_t>;

std::string shown(const Shape& shape) {
  std::string text = "(";
  for (std::size_t i = 0; i < shape.size(); ++i) {
    text += (i == 0 ? "" : ", ") + std::to_string(shape[i]);
  }
  return text + ")";
}

// Whether a layer has a tensor.
enum class Presence { needed, optional, absent };

Presence presence_if(bool is_there) { return is_there ? Presence::needed : Presence::absent; }

Presence presence_of(Need need, const LayerShape& layer) {
  const AttentionBias bias = layer.attention_bias;
  switch (need) {
    case Need::always:
      return Presence::needed;
    case Need::pre_norm:
      return presence_if(layer.pre_norm);
    case Need::qk_norm:
      return presence_if(layer.qk_norm);
    case Need::gated:
      return presence_if(layer.gated);
    case Need::qkv_bias:
      if (bias == AttentionBias::where_present) return Presence::optional;
      return presence_if(bias != AttentionBias::none);
    case Need::o_bias:
      if (bias == AttentionBias::where_present) return Presence::optional;
      return presence_if(bias == AttentionBias::qkvo);
    case Need::never:
      break;
  }
  return Presence::absent;
}

std::int64_t size_of(Extent extent, const LayerShape& layer, std::int64_t hidden_size) {
  switch (extent) {
    case Extent::hidden:
      return hidden_size;
    case Extent::q:
      return std::int64_t{layer.n_heads} * layer.head_dim;
    case Extent::kv:
      return std::int64_t{layer.n_kv_heads} * layer.head_dim;
    case Extent::head:
      return layer.head_dim;
    case Extent::intermediate:
      return layer.intermediate_size;
    case Extent::none:
      break;
  }
  return 0;
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

  TensorView embedding(const Shape& shape) const {
    const TensorNames& names = *config_.tensors;
    const TensorView own = optional(names.embedding, shape);
    if (own.data != nullptr) return own;
    const TensorView head = config_.tied_head ? optional(names.head, shape) : TensorView{};
    return head.data != nullptr ? head : needed(names.embedding, shape);
  }

  // That of the file where it has one, as transformers and llama.cpp do; else the embedding again
  // where the configuration, or its absence, says so.
  TensorView head(const TensorView& embedding, const Shape& shape) const {
    const TensorNames& names = *config_.tensors;
    const TensorView own = optional(names.head, shape);
    if (own.data != nullptr) return own;
    if (config_.tied_head || names.absent_head_is_tied) return embedding;
    throw BadData(where_ + ": tensor '" + names.head +
                  "' is missing, and tie_word_embeddings is false");
  }

  LayerWeights layer(const std::string& prefix, const LayerShape& shape) const {
    LayerWeights layer;
    for (const LayerTensor& tensor : config_.tensors->of_layer) {
      const std::string name = prefix + tensor.name;
      const Presence presence = presence_of(tensor.need, shape);
      if (presence == Presence::absent) {
        refuse(name);
        continue;
      }
      Shape wanted{size_of(tensor.rows, shape, config_.shape.hidden_size)};
      if (tensor.columns != Extent::none)
        wanted.push_back(size_of(tensor.columns, shape, config_.shape.hidden_size));
      layer.*tensor.place =
          presence == Presence::needed ? needed(name, wanted) : optional(name, wanted);
    }
    return layer;
  }

 private:
  const ModelConfig& config_;
  const FindTensor& find_;
  const std::string& where_;
};

}  // namespace

ModelWeights collect_weights(const ModelConfig& config, const FindTensor& find,
                             const std::string& where) {
  const Collector collect(config, find, where);
  const TensorNames& names = *config.tensors;
  const Shape table{config.shape.vocab_size, config.shape.hidden_size};
  ModelWeights weights;
  weights.interleaved_qk = config.interleaved_qk;
  weights.embedding = collect.embedding(table);
  weights.final_norm = collect.needed(names.final_norm, {config.shape.hidden_size});
  weights.head = collect.head(weights.embedding, table);
  for (std::size_t i = 0; i < config.shape.layers.size(); ++i) {
    weights.layers.push_back(
        collect.layer(names.layer + std::to_string(i) + ".", config.shape.layers[i]));
  }
  return weights;
}

}  // namespace tovamill
