// What config.json says, with the defaults and the meaning that transformers gives each field.
#include <string>

#include "engine/model/config_keys.h"
#include "engine/model/config_reader.h"
#include "engine/model/family.h"
#include "engine/model/layer_sizes.h"
#include "engine/model/model_config.h"
#include "engine/model/rotary_config.h"
#include "engine/quantization/quantization.h"
#include "kernels/types/printable.h"

namespace tovamill {

namespace {

constexpr ConfigKeys kHfKeys{.n_layers = "num_hidden_layers",
                             .hidden_size = "hidden_size",
                             .intermediate_size = "intermediate_size",
                             .n_heads = "num_attention_heads",
                             .n_kv_heads = "num_key_value_heads",
                             .trained_context = "max_position_embeddings",
                             .activation = "hidden_act",
                             .mlp_bias = "mlp_bias",
                             .has_arrays = false};

const Family& family_of_hf(const ConfigReader& config) {
  const auto type = config.optional_text("model_type");
  const nlohmann::json* classes = config.find("architectures");
  std::string class_name;
  if (classes != nullptr) {
    if (!classes->is_array() || classes->empty() || !classes->front().is_string()) {
      config.fail("architectures is not a list of names");
    }
    class_name = classes->front().get<std::string>();
  }
  if (!type && class_name.empty()) config.fail("neither model_type nor architectures is there");
  for (const Family& family : hf_families()) {
    if (type ? *type != family.name : class_name != family.class_name) continue;
    if (class_name.empty() || class_name == family.class_name) return family;
    config.fail("the architecture " + printable(class_name) + " is not supported: of " +
                family.name + " only " + family.class_name + " is");
  }
  config.fail("the architecture " + printable(type ? *type : class_name) +
              " is not supported: supported are " + names_of(hf_families()));
}

Quantization quantization_of(const ConfigReader& config, const Family& family) {
  const nlohmann::json* fields = config.find("quantization_config");
  if (fields == nullptr) return {};
  const Quantization quantization = quantization_from_hf(*fields, config.where());
  const bool is_mxfp4 = quantization.method == QuantizationMethod::mxfp4;
  if (is_mxfp4 && !family.tensors->has_interleaved_experts)
    config.fail("quantization_config: quant_method is 'mxfp4', which is not supported of " +
                std::string(family.name));
  return quantization;
}

void refuse_unsupported_hf(const ConfigReader& config) {
  if (config.flag("rope_interleaved", false)) {
    config.fail("rope_interleaved is true, which is not supported");
  }
}

Activation activation_of(const ConfigReader& config, const Family& family) {
  const auto name = config.optional_text(family.activation_key);
  if (!name) return family.layer.activation;
  if (*name == "silu" || *name == "swish") return Activation::silu;
  if (*name == "gelu") return Activation::gelu;
  if (*name == "gelu_pytorch_tanh" || *name == "gelu_new") return Activation::gelu_tanh;
  if (*name == "relu2") return Activation::relu2;
  if (*name == "xielu" && family.layer.activation == Activation::xielu) return Activation::xielu;
  config.fail(std::string(family.activation_key) + " " + printable(*name) +
              " is not supported: only silu, gelu, gelu_pytorch_tanh and relu2 are");
}

std::int32_t head_dim_of_hf(const ConfigReader& config, const Family& family,
                            std::int32_t hidden_size, std::int32_t n_heads) {
  if (const auto head_dim = config.optional_integer("head_dim", kHeadDimLimits)) return *head_dim;
  if (family.head_dim > 0) return family.head_dim;
  if (hidden_size % n_heads != 0) {
    config.fail("hidden_size is not a multiple of num_attention_heads and there is no head_dim");
  }
  return hidden_size / n_heads;
}

const MultimodalModel* multimodal_of(const nlohmann::json& fields) {
  const auto type = fields.find("model_type");
  for (const MultimodalModel& model : multimodal_models()) {
    if (type != fields.end() && *type == model.name) return &model;
  }
  return nullptr;
}

ModelConfig text_config_from_hf(const nlohmann::json& fields, const std::string& where);

// The part for texts. What is said beside it of both holds; of the head even where the part says
// otherwise, as transformers has it.
ModelConfig multimodal_from_hf(const nlohmann::json& fields, const MultimodalModel& model,
                               const std::string& where) {
  const ConfigReader config(fields, where);
  const nlohmann::json* text = config.find("text_config");
  if (text == nullptr || !text->is_object()) config.fail("text_config is not there");
  const nlohmann::json* classes = config.find("architectures");
  if (classes != nullptr && *classes != nlohmann::json::array({model.class_name}))
    config.fail("architectures is " + classes->dump() + ": of " + model.name + " only " +
                model.class_name + " is supported");
  nlohmann::json fields_of_text = *text;
  fields_of_text.erase("architectures");
  if (!fields_of_text.contains("model_type")) fields_of_text["model_type"] = model.text_family;
  const char* const quantization = "quantization_config";
  if (!fields_of_text.contains(quantization) && fields.contains(quantization))
    fields_of_text[quantization] = fields[quantization];
  fields_of_text["tie_word_embeddings"] = config.flag("tie_word_embeddings", true);
  ModelConfig result = text_config_from_hf(fields_of_text, where + ": text_config");
  result.architecture = std::string(model.name) + ", its part for texts";
  result.is_multimodal = true;
  return result;
}

}  // namespace

ModelConfig config_from_hf(const nlohmann::json& fields, const std::string& where) {
  if (fields.is_object()) {
    if (const MultimodalModel* model = multimodal_of(fields))
      return multimodal_from_hf(fields, *model, where);
  }
  return text_config_from_hf(fields, where);
}

namespace {

ModelConfig text_config_from_hf(const nlohmann::json& fields, const std::string& where) {
  const ConfigReader config(fields, where);
  const Family& family = family_of_hf(config);
  refuse_unsupported_hf(config);
  ModelConfig result{.architecture = family.name, .shape = {}, .tensors = family.tensors};
  ModelShape& shape = result.shape;
  ConfigKeys keys = kHfKeys;
  keys.intermediate_size = family.intermediate_key;
  read_sizes(config, keys, family, shape);
  const auto vocab_size = config.optional_integer("vocab_size", kVocabLimits);
  if (!vocab_size && family.vocab_size == 0) config.fail("vocab_size is missing");
  shape.vocab_size = vocab_size.value_or(family.vocab_size);
  shape.norm = family.norm;
  shape.norm_bias = family.norm_bias;
  shape.norm_eps = shape.qk_norm_eps = static_cast<float>(
      config.optional_number(family.norm_eps_key, kEpsLimits).value_or(family.norm_eps));
  result.norm_offset = family.norm_offset;
  result.quantization = quantization_of(config, family);
  result.rotary.interleaved = family.interleaved_qk;
  for (LayerShape& layer : shape.layers) {
    layer.head_dim = head_dim_of_hf(config, family, shape.hidden_size, layer.n_heads);
    layer.activation = activation_of(config, family);
  }
  apply_rules(family, config, result);
  check_layers(config, keys, family, shape);
  set_ropes_of_hf(config, family, result);
  result.tied_head = config.flag("tie_word_embeddings", family.tied_head);
  result.unknown_keys = check_hf_keys(config, family, shape);
  return result;
}

}  // namespace
}  // namespace tovamill
