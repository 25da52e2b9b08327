// The tensors of a model by the names that its family gives them, with every shape checked.
#include <algorithm>
#include <string>
#include <vector>

#include "engine/model/interleaved_experts.h"
#include "engine/model/model_config.h"
#include "engine/model/tensor_names.h"
#include "engine/quantization/quantized_rows.h"
#include "engine/quantization/quantized_tensors.h"
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
// `passed_over`: it may be there, and nothing reads it.
enum class Presence { needed, optional, absent, passed_over };

Presence presence_if(bool is_there) { return is_there ? Presence::needed : Presence::absent; }

Presence presence_of(Need need, const LayerShape& layer, const ModelShape& shape) {
  const AttentionBias bias = layer.attention_bias;
  const bool has_experts = layer.experts.n_experts > 0;
  const bool has_kv = layer.kv_source == kOwnKv, has_bias = bias != AttentionBias::none;
  const auto of_kv = [&](bool is_there) {
    return !has_kv ? Presence::passed_over : presence_if(is_there);
  };
  const auto again = [&](bool is_there) {
    return has_kv && layer.k_is_v && is_there ? Presence::needed : Presence::passed_over;
  };
  switch (need) {
    case Need::always:
      return Presence::needed;
    case Need::own_kv:
      return of_kv(true);
    case Need::own_v:
      return of_kv(!layer.k_is_v);
    case Need::k_as_v:
      return again(true);
    case Need::own_v_or_k:
      return has_kv ? Presence::optional : Presence::passed_over;
    case Need::optional:
      return Presence::optional;
    case Need::own_kv_bias:
      return of_kv(has_bias);
    case Need::own_v_bias:
      return of_kv(has_bias && !layer.k_is_v);
    case Need::k_as_v_bias:
      return again(has_bias);
    case Need::layer_input:
      return presence_if(shape.per_layer_size > 0);
    case Need::pre_norm:
      return presence_if(layer.pre_norm);
    case Need::pre_norm_bias:
      return presence_if(layer.pre_norm && shape.norm_bias);
    case Need::ffn_norm:
      return presence_if(layer.pre_norm && !layer.parallel);
    case Need::ffn_norm_bias:
      return presence_if(layer.pre_norm && !layer.parallel && shape.norm_bias);
    case Need::post_norm:
      return presence_if(layer.post_norm);
    case Need::qk_norm:
      return presence_if(layer.qk_norm != QkNorm::none);
    case Need::gated:
      return presence_if(layer.gated && !has_experts);
    case Need::xielu:
      return presence_if(layer.activation == Activation::xielu);
    case Need::dense:
      return presence_if(!has_experts);
    case Need::experts:
      return presence_if(has_experts);
    case Need::router_bias:
      return presence_if(layer.experts.router_bias);
    case Need::expert_bias:
      return presence_if(layer.experts.bias);
    case Need::shared_expert:
      return presence_if(layer.experts.has_shared);
    case Need::sinks:
      return presence_if(layer.has_sinks);
    case Need::shared_gate:
      return presence_if(layer.experts.has_shared_gate);
    case Need::gate_bias:
      if (layer.gated && layer.mlp_bias_where_present) return Presence::optional;
      return presence_if(layer.gated && layer.mlp_bias);
    case Need::mlp_bias:
      if (layer.mlp_bias_where_present) return Presence::optional;
      return presence_if(layer.mlp_bias);
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

std::int64_t size_of(Extent extent, const LayerShape& layer, const ModelShape& shape) {
  const std::int64_t d = layer.head_dim, q = layer.n_heads * d, kv = layer.n_kv_heads * d;
  const bool is_row = layer.qk_norm == QkNorm::row;
  switch (extent) {
    case Extent::hidden:
      return shape.hidden_size;
    case Extent::per_layer:
      return shape.per_layer_size;
    case Extent::q:
      return q;
    case Extent::kv:
      return kv;
    case Extent::q_k:
      return q + kv;
    case Extent::qkv:
      return q + 2 * kv;
    case Extent::q_norm:
      return is_row ? q : d;
    case Extent::k_norm:
      return is_row ? kv : d;
    case Extent::intermediate:
      return layer.intermediate_size;
    case Extent::twice_intermediate:
      return 2 * std::int64_t{layer.intermediate_size};
    case Extent::heads:
      return layer.n_heads;
    case Extent::one:
      return 1;
    case Extent::n_experts:
      return layer.experts.n_experts;
    case Extent::expert_intermediate:
      return layer.experts.intermediate_size;
    case Extent::twice_expert_intermediate:
      return 2 * std::int64_t{layer.experts.intermediate_size};
    case Extent::none:
      break;
  }
  return 0;
}

// Of the whole tensor in a file.
Shape shape_of(const LayerTensor& tensor, const LayerShape& layer, const ModelShape& shape) {
  Shape wanted{size_of(tensor.whole == Extent::none ? tensor.rows : tensor.whole, layer, shape)};
  if (tensor.columns != Extent::none) wanted.push_back(size_of(tensor.columns, layer, shape));
  return wanted;
}

// Rows [first, first + n) of a matrix.
TensorView rows_of(const TensorView& matrix, std::int64_t first, std::int64_t n) {
  if (first < 0 || first + n > matrix.n_rows())
    throw Error(ExitCode::internal, "rows beyond those of tensor '" + matrix.name + "'");
  if (matrix.reader != nullptr) return read_rows_of(matrix, first, n);
  TensorView rows = matrix;
  const std::uint64_t row_bytes =
      bytes_of_elements(matrix.storage, static_cast<std::uint64_t>(matrix.n_cols()));
  rows.shape = {n, matrix.n_cols()};
  rows.data = matrix.data + row_bytes * static_cast<std::uint64_t>(first);
  rows.n_bytes = row_bytes * static_cast<std::uint64_t>(n);
  return rows;
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
    auto tensor = found(name);
    if (!tensor) return {};
    if (tensor->shape.empty()) tensor->shape = {1};
    if (tensor->shape != shape) {
      throw BadData(where_ + ": tensor '" + name + "' has the shape " + shown(tensor->shape) +
                    " where the configuration needs " + shown(shape));
    }
    if (is_raw(tensor->storage))
      throw BadData(where_ + ": tensor '" + name + "' is of the type " +
                    std::string(block_format(tensor->storage).name) + ", which is not supported");
    return *tensor;
  }

  // A tensor that the model would need and that the forward step does not know.
  void refuse(const std::string& name) const {
    const auto tensor = found(name);
    if (tensor && !is_left_over(*tensor))
      throw BadData(where_ + ": tensor '" + name + "' is not supported");
  }

  TensorView embedding(const Shape& shape) const {
    const TensorNames& names = *config_.tensors;
    TensorView embedding = optional(names.embedding, shape);
    if (embedding.data == nullptr && config_.tied_head) embedding = optional(names.head, shape);
    if (embedding.data == nullptr) embedding = needed(names.embedding, shape);
    if (embedding.reader != nullptr)
      throw BadData(where_ + ": tensor '" + embedding.name +
                    "' is quantised, which an embedding must not be");
    return embedding;
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
      const Presence presence = presence_of(tensor.need, shape, config_.shape);
      if (presence == Presence::passed_over) continue;
      if (presence == Presence::absent) {
        refuse(name);
        continue;
      }
      const auto size = [&](Extent extent) { return size_of(extent, shape, config_.shape); };
      const std::int64_t n_rows = size(tensor.rows);
      const Shape wanted = shape_of(tensor, shape, config_.shape);
      const TensorView found =
          presence == Presence::needed ? needed(name, wanted) : optional(name, wanted);
      layer.*tensor.place =
          tensor.whole == Extent::none ? found : rows_of(found, size(tensor.before), n_rows);
    }
    if (layer.v.data == nullptr) layer.v = layer.k;
    if (config_.tensors->has_interleaved_experts) {
      layer.experts = interleaved_experts([&](const std::string& name) { return found(name); },
                                          prefix, shape.experts, config_.shape.hidden_size, where_);
      return layer;
    }
    for (std::int32_t e = 0; e < shape.experts.n_experts; ++e)
      layer.experts.push_back(expert(prefix, e, shape));
    return layer;
  }

  // Of a layer with experts.
  ExpertTensors expert(const std::string& prefix, std::int32_t index,
                       const LayerShape& shape) const {
    ExpertTensors expert;
    for (const ExpertTensor& tensor : config_.tensors->of_expert) {
      const bool is_stacked = tensor.after == nullptr;
      const std::string name =
          prefix + tensor.before + (is_stacked ? "" : std::to_string(index) + tensor.after);
      if (presence_of(tensor.need, shape, config_.shape) == Presence::absent) {
        refuse(name);
        continue;
      }
      const auto size = [&](Extent extent) { return size_of(extent, shape, config_.shape); };
      const std::int64_t n_rows = size(tensor.rows);
      const std::int64_t n_whole = tensor.whole == Extent::none ? n_rows : size(tensor.whole);
      Shape wanted{n_whole};
      if (is_stacked) wanted.insert(wanted.begin(), shape.experts.n_experts);
      if (tensor.columns != Extent::none) wanted.push_back(size(tensor.columns));
      const TensorView found = needed(name, wanted);
      if (tensor.columns == Extent::none) {  // a bias: a row of all of them
        expert.*tensor.place = rows_of(found, is_stacked ? index : 0, 1);
        (expert.*tensor.place).shape = {n_rows};
        continue;
      }
      const std::int64_t first = (is_stacked ? index * n_whole : 0) + size(tensor.rows_before);
      expert.*tensor.place = rows_of(found, first, n_rows);
    }
    return expert;
  }

 private:
  // Biases of zeros, which some tools of GPTQ write for every matrix.
  bool is_left_over(const TensorView& tensor) const {
    return config_.quantization.method == QuantizationMethod::gptq && tensor.shape.size() == 1 &&
           !is_raw(tensor.storage) &&
           std::all_of(tensor.data, tensor.data + tensor.n_bytes,
                       [](std::byte byte) { return byte == std::byte{0}; });
  }

  std::optional<TensorView> found(const std::string& name) const {
    for (const std::string& other : names_in_files(config_, name)) {
      if (const auto tensor = find_quantized(config_.quantization, find_, other, where_))
        return tensor;
    }
    return std::nullopt;
  }

  const ModelConfig& config_;
  const FindTensor& find_;
  const std::string& where_;
};

}  // namespace

std::vector<std::string> names_in_files(const ModelConfig& config, const std::string& name) {
  if (!config.is_multimodal) return {name};
  constexpr std::string_view kModel = "model.";
  std::vector<std::string> names{name, "language_model." + name};
  if (name.starts_with(kModel))
    names.push_back("model.language_model." + name.substr(kModel.size()));
  return names;
}

std::vector<NeededTensor> needed_tensors(const ModelConfig& config) {
  const TensorNames& names = *config.tensors;
  const ModelShape& s = config.shape;
  std::vector<NeededTensor> needed{{names.embedding, {s.vocab_size, s.hidden_size}}};
  if (s.per_layer_size > 0) {
    const std::int64_t each = s.per_layer_size, all = each * s.n_layers;
    needed.push_back({names.per_layer_embedding, {s.vocab_size, all}});
    needed.push_back({names.per_layer_projection, {all, s.hidden_size}});
    needed.push_back({names.per_layer_norm, {each}});
  }
  for (std::size_t l = 0; l < s.layers.size(); ++l) {
    const std::size_t first = needed.size();
    for (const LayerTensor& tensor : names.of_layer) {
      if (presence_of(tensor.need, s.layers[l], s) != Presence::needed) continue;
      const std::string name = names.layer + std::to_string(l) + "." + tensor.name;
      const bool is_there =
          std::any_of(needed.begin() + static_cast<std::ptrdiff_t>(first), needed.end(),
                      [&](const auto& t) { return t.name == name; });
      if (!is_there) needed.push_back({name, shape_of(tensor, s.layers[l], s)});
    }
  }
  needed.push_back({names.final_norm, {s.hidden_size}});
  if (s.norm_bias) needed.push_back({names.final_norm_bias, {s.hidden_size}});
  if (!config.tied_head) needed.push_back({names.head, {s.vocab_size, s.hidden_size}});
  return needed;
}

ModelWeights collect_weights(const ModelConfig& config, const FindTensor& find,
                             const std::string& where) {
  const Collector collect(config, find, where);
  const TensorNames& names = *config.tensors;
  const Shape table{config.shape.vocab_size, config.shape.hidden_size};
  ModelWeights weights;
  weights.rotary = config.rotary;
  weights.embedding = collect.embedding(table);
  weights.final_norm = collect.needed(names.final_norm, {config.shape.hidden_size});
  if (config.shape.norm_bias)
    weights.final_norm_bias = collect.needed(names.final_norm_bias, {config.shape.hidden_size});
  weights.head = collect.head(weights.embedding, table);
  if (config.shape.per_layer_size > 0) {
    const std::int64_t each = config.shape.per_layer_size, all = each * config.shape.n_layers;
    weights.per_layer_embedding =
        collect.needed(names.per_layer_embedding, {config.shape.vocab_size, all});
    weights.per_layer_projection =
        collect.needed(names.per_layer_projection, {all, config.shape.hidden_size});
    weights.per_layer_norm = collect.needed(names.per_layer_norm, {each});
  }
  for (std::size_t i = 0; i < config.shape.layers.size(); ++i) {
    weights.layers.push_back(
        collect.layer(names.layer + std::to_string(i) + ".", config.shape.layers[i]));
  }
  return weights;
}

}  // namespace tovamill
