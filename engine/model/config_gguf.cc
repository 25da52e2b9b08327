// What the metadata of a GGUF file say, with the defaults and the meaning that llama.cpp gives each
// key.
#include <cmath>
#include <string>
#include <vector>

#include "engine/model/config_keys.h"
#include "engine/model/config_reader.h"
#include "engine/model/family.h"
#include "engine/model/layer_sizes.h"
#include "engine/model/model_config.h"
#include "engine/model/rotary_config.h"
#include "kernels/types/printable.h"

namespace tovamill {

namespace {

constexpr ConfigKeys kGgufKeys{.n_layers = "block_count",
                               .hidden_size = "embedding_length",
                               .intermediate_size = "feed_forward_length",
                               .n_heads = "attention.head_count",
                               .n_kv_heads = "attention.head_count_kv",
                               .trained_context = "context_length",
                               .activation = nullptr,
                               .mlp_bias = nullptr,
                               .has_arrays = true};

const Family& family_of_gguf(const ConfigReader& metadata) {
  const auto name = metadata.optional_text("general.architecture");
  if (!name) metadata.fail("general.architecture is missing");
  for (const Family& family : gguf_families()) {
    if (*name == family.name) return family;
  }
  metadata.fail("the architecture " + printable(*name) + " is not supported: in GGUF " +
                names_of(gguf_families()) + " are, llama with Mistral");
}

std::int32_t head_dim_of_gguf(const ConfigReader& config, std::int32_t hidden_size,
                              std::int32_t n_heads) {
  const auto key = config.optional_integer("attention.key_length", kHeadDimLimits);
  const auto value = config.optional_integer("attention.value_length", kHeadDimLimits);
  if (!key && !value) {
    if (hidden_size % n_heads != 0) {
      config.fail(config.name("embedding_length") + " is not a multiple of the number of heads");
    }
    return hidden_size / n_heads;
  }
  if (key && value && *key != *value) {
    config.fail("keys and values of different lengths are not supported");
  }
  return key ? *key : *value;
}

std::int32_t vocab_size_of(const ConfigReader& metadata, const ConfigReader& config) {
  const nlohmann::json* tokens = metadata.find("tokenizer.ggml.tokens");
  if (tokens == nullptr) return config.integer("vocab_size", kVocabLimits);
  if (!tokens->is_array() || tokens->empty() || tokens->size() > kVocabLimits.max) {
    metadata.fail("tokenizer.ggml.tokens is not a list of tokens");
  }
  return static_cast<std::int32_t>(tokens->size());
}

}  // namespace

ModelConfig config_from_gguf(const nlohmann::json& fields, const FindTensor& find,
                             const std::string& where) {
  const ConfigReader metadata(fields, where);
  const Family& family = family_of_gguf(metadata);
  const ConfigReader config(fields, where, std::string(family.name) + ".");
  ModelConfig result{.architecture = family.name, .shape = {}, .tensors = family.tensors};
  result.rotary.interleaved = family.interleaved_qk;
  ModelShape& shape = result.shape;
  read_sizes(config, kGgufKeys, family, shape);
  shape.vocab_size = vocab_size_of(metadata, config);
  const bool is_rms = family.norm == NormKind::rms;
  const char* eps_key =
      is_rms ? "attention.layer_norm_rms_epsilon" : "attention.layer_norm_epsilon";
  const auto eps = config.optional_number(eps_key, kEpsLimits);
  if (!eps) config.fail(config.name(eps_key) + " is missing");
  shape.norm = family.norm;
  shape.norm_bias = family.norm_bias;
  shape.norm_eps = shape.qk_norm_eps = static_cast<float>(*eps);
  for (LayerShape& layer : shape.layers)
    layer.head_dim = head_dim_of_gguf(config, shape.hidden_size, layer.n_heads);
  apply_rules(family, config, result);
  check_layers(config, kGgufKeys, family, shape);
  set_ropes_of_gguf(config, family, find, result);
  result.unknown_keys = check_gguf_keys(metadata, config, family, shape);
  return result;
}

}  // namespace tovamill
