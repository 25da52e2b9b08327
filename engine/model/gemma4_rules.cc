// Rules of Gemma 4: layers of two kinds of heads, of which the last share the keys and values of
// others, and embeddings that each layer has of its own.
#include <algorithm>
#include <charconv>
#include <string>

#include "engine/model/layer_rules.h"

namespace tovamill {
namespace {

// What per_layer_config says of some layers, by their numbers.
void set_heads_of_some(const ConfigReader& config, const nlohmann::json& heads,
                       std::vector<LayerShape>& layers) {
  if (!heads.is_object()) config.fail("per_layer_config is not an object");
  for (const auto& [key, value] : heads.items()) {
    std::size_t l = layers.size();
    const auto [end, error] = std::from_chars(key.data(), key.data() + key.size(), l);
    if (error != std::errc() || end != key.data() + key.size() || l >= layers.size())
      config.fail("per_layer_config has " + shown_key(key) + ", which is no layer's number");
    const ConfigReader reader(value, config.where() + ": per_layer_config." + key);
    for (const auto& [field, number] : value.items()) {
      if (field != "head_dim" && field != "num_key_value_heads" && !number.is_null())
        reader.fail(shown_key(field) + " is " + shown(number) + ", which is not supported");
    }
    if (const auto d = reader.optional_integer("head_dim", kHeadDimLimits)) layers[l].head_dim = *d;
    if (const auto n = reader.optional_integer("num_key_value_heads", kHeadLimits))
      layers[l].n_kv_heads = *n;
  }
}

// The last layer before `first_shared` of the same kind.
std::int32_t source_of(const ConfigReader& config, const std::vector<LayerShape>& layers,
                       std::size_t layer, std::size_t first_shared) {
  const LayerShape& shape = layers[layer];
  for (std::size_t l = first_shared; l-- > 0;) {
    const LayerShape& other = layers[l];
    if ((other.sliding_window > 0) != (shape.sliding_window > 0)) continue;
    if (other.head_dim != shape.head_dim || other.n_kv_heads != shape.n_kv_heads)
      config.fail("layer " + std::to_string(layer) + " shares the keys of layer " +
                  std::to_string(l) + ", which has other heads");
    return static_cast<std::int32_t>(l);
  }
  config.fail("num_kv_shared_layers leaves no layer of the kind of layer " + std::to_string(layer) +
              " whose keys it could share");
}

// The last `n_shared` layers.
void share_kv(const ConfigReader& config, std::int32_t n_shared, const char* key,
              std::vector<LayerShape>& layers) {
  const auto n = layers.size(), shared = static_cast<std::size_t>(n_shared);
  if (shared >= n) config.fail(config.name(key) + " leaves no layer with keys of its own");
  for (std::size_t l = n - shared; l < n; ++l)
    layers[l].kv_source = source_of(config, layers, l, n - shared);
}

}  // namespace

void heads_of_gemma4(const ConfigReader& config, ModelConfig& model) {
  std::vector<LayerShape>& layers = model.shape.layers;
  const bool k_is_v = config.flag("attention_k_eq_v", false);
  for (LayerShape& layer : layers) layer.k_is_v = k_is_v && layer.sliding_window == 0;
  if (const nlohmann::json* heads = config.find("per_layer_config"))
    return set_heads_of_some(config, *heads, layers);
  if (config.has("per_layer_config")) return;  // null: all are alike
  const auto head_dim = config.optional_integer("global_head_dim", kHeadDimLimits);
  const auto n_kv = config.optional_integer("num_global_key_value_heads", kHeadLimits);
  for (LayerShape& layer : layers) {
    if (layer.sliding_window > 0) continue;
    layer.head_dim = head_dim.value_or(512);
    if (k_is_v && n_kv) layer.n_kv_heads = *n_kv;
  }
}

void shares_of_gemma4(const ConfigReader& config, ModelConfig& model) {
  if (config.flag("enable_moe_block", false))
    config.fail("enable_moe_block is true: a mixture of experts is not supported");
  const nlohmann::json* both_ways = config.find("use_bidirectional_attention");
  if (both_ways != nullptr && *both_ways != false && *both_ways != "vision")
    config.fail("use_bidirectional_attention is " + shown(*both_ways) +
                ", which is not supported: only null and 'vision' are");
  ModelShape& shape = model.shape;
  shape.per_layer_size =
      config.has("hidden_size_per_layer_input")
          ? config.optional_integer("hidden_size_per_layer_input", {0, kMaxHiddenSize}).value_or(0)
          : 256;
  const auto n_words = config.optional_integer("vocab_size_per_layer_input", kVocabLimits);
  const std::int32_t vocab_size =
      config.optional_integer("vocab_size", kVocabLimits).value_or(262'144);
  if (shape.per_layer_size > 0 && n_words.value_or(262'144) != vocab_size)
    config.fail("vocab_size_per_layer_input is not vocab_size, which is not supported");
  const char* const key = "num_kv_shared_layers";
  share_kv(config, config.optional_integer(key, {0, kMaxLayers}).value_or(0), key, shape.layers);
  if (!config.flag("use_double_wide_mlp", false)) return;
  for (LayerShape& layer : shape.layers) {
    if (layer.kv_source != kOwnKv) layer.intermediate_size *= 2;
  }
}

void gemma4_of_gguf(const ConfigReader& config, ModelConfig& model) {
  ModelShape& shape = model.shape;
  config.integer("attention.sliding_window", kContextLimits);
  windows_by_pattern_of_gguf(config, 0, 6, model);
  const auto of_windows = config.integer("attention.key_length_swa", kHeadDimLimits);
  const auto values = config.optional_integer("attention.value_length_swa", kHeadDimLimits);
  const auto rotated = config.optional_integer("rope.dimension_count_swa", kHeadDimLimits);
  if (values.value_or(of_windows) != of_windows || rotated.value_or(of_windows) != of_windows)
    config.fail("keys and values of different lengths, or rotated in part, are not supported");
  for (LayerShape& layer : shape.layers) {
    if (layer.sliding_window > 0) layer.head_dim = of_windows;
  }
  shape.logit_cap = static_cast<float>(
      config.optional_number("final_logit_softcapping", {0, kFactorLimits.max}).value_or(30));
  shape.per_layer_size = config.integer("embedding_length_per_layer_input", {0, kMaxHiddenSize});
  const char* const key = "attention.shared_kv_layers";
  share_kv(config, config.optional_integer(key, {0, kMaxLayers}).value_or(0), key, shape.layers);
}

}  // namespace tovamill
