// Rules of switches and factors; those of windows and rotations stand in layer_rules.cc.
#include <algorithm>
#include <cmath>

#include "engine/model/layer_rules.h"
#include "kernels/types/printable.h"

namespace tovamill {
namespace {

void set_bias(AttentionBias bias, ModelConfig& model) {
  for (LayerShape& layer : model.shape.layers) layer.attention_bias = bias;
}

void set_mlp_bias(bool has_bias, ModelConfig& model) {
  for (LayerShape& layer : model.shape.layers) layer.mlp_bias = has_bias;
}

void biases_of_all(bool has_biases, ModelConfig& model) {
  set_bias(has_biases ? AttentionBias::qkvo : AttentionBias::none, model);
  set_mlp_bias(has_biases, model);
}

void refuse_flag(const ConfigReader& config, const char* key) {
  if (config.flag(key, false)) config.fail(std::string(key) + " is true, which is not supported");
}

// 0 where it is null.
double cap_of(const ConfigReader& config, const char* key, double absent) {
  if (!config.has(key)) return absent;
  return config.optional_number(key, kFactorLimits).value_or(0);
}

double multiplier(const ConfigReader& config, const char* key) {
  return config.optional_number(key, kFactorLimits).value_or(1);
}

}  // namespace

void attention_bias_by_flag(const ConfigReader& config, ModelConfig& model) {
  if (config.flag("attention_bias", false)) set_bias(AttentionBias::qkvo, model);
}

void no_attention_bias(const ConfigReader& config, ModelConfig&) {
  if (config.flag("attention_bias", false))
    config.fail("attention_bias is true, which is not supported: the family has no biases");
}

void biases_of_seed_oss(const ConfigReader& config, ModelConfig& model) {
  const bool has_qkv = config.flag("attention_bias", true),
             has_o = config.flag("attention_out_bias", false);
  if (has_o && !has_qkv)
    config.fail("attention_out_bias is true and attention_bias is not, which is not supported");
  set_bias(has_o ? AttentionBias::qkvo : has_qkv ? AttentionBias::qkv : AttentionBias::none, model);
}

void biases_of_glm(const ConfigReader& config, ModelConfig& model) {
  if (config.flag("attention_bias", true)) set_bias(AttentionBias::qkv, model);
}

void bias_of_gpt_oss(const ConfigReader& config, ModelConfig& model) {
  if (config.flag("attention_bias", true)) set_bias(AttentionBias::qkvo, model);
}

void qkv_bias_by_flag(const ConfigReader& config, ModelConfig& model) {
  if (config.flag("qkv_bias", true)) set_bias(AttentionBias::qkv, model);
}

void switches_of_stablelm(const ConfigReader& config, ModelConfig& model) {
  refuse_flag(config, "qk_layernorm");
  if (config.flag("use_qkv_bias", false)) set_bias(AttentionBias::qkv, model);
  const bool is_parallel = config.flag("use_parallel_residual", false);
  for (LayerShape& layer : model.shape.layers) layer.parallel = is_parallel;
}

void biases_of_starcoder2(const ConfigReader& config, ModelConfig& model) {
  biases_of_all(config.flag("use_bias", true), model);
}

void biases_of_ernie(const ConfigReader& config, ModelConfig& model) {
  biases_of_all(config.flag("use_bias", false), model);
}

void mlp_bias_by_flag(const ConfigReader& config, ModelConfig& model) {
  set_mlp_bias(config.flag("mlp_bias", false), model);
}

void embedding_by_width(const ConfigReader&, ModelConfig& model) {
  model.shape.embedding_scale = std::sqrt(static_cast<float>(model.shape.hidden_size));
}

void gelu_is_tanh(const ConfigReader&, ModelConfig& model) {
  for (LayerShape& layer : model.shape.layers) {
    if (layer.activation == Activation::gelu) layer.activation = Activation::gelu_tanh;
  }
}

void scale_of_gemma(const ConfigReader& config, ModelConfig& model) {
  const double scalar =
      config.optional_number("query_pre_attn_scalar", kFactorLimits).value_or(256);
  for (LayerShape& layer : model.shape.layers) layer.attention_scale = 1 / std::sqrt(scalar);
}

void caps_of_gemma2(const ConfigReader& config, ModelConfig& model) {
  model.shape.logit_cap = static_cast<float>(cap_of(config, "final_logit_softcapping", 30));
  const double cap = cap_of(config, "attn_logit_softcapping", 50);
  for (LayerShape& layer : model.shape.layers) layer.score_cap = cap;
}

void cap_of_gemma3(const ConfigReader& config, ModelConfig& model) {
  model.shape.logit_cap = static_cast<float>(cap_of(config, "final_logit_softcapping", 0));
}

// What each layer adds is not multiplied with r: the hidden rows are kept as 1 / r of what they
// are, of which norms are the same with eps / r^2.
void multipliers_of_granite(const ConfigReader& config, ModelConfig& model) {
  ModelShape& shape = model.shape;
  const double r = multiplier(config, "residual_multiplier");
  shape.embedding_scale = static_cast<float>(multiplier(config, "embedding_multiplier") / r);
  shape.norm_eps = static_cast<float>(static_cast<double>(shape.norm_eps) / (r * r));
  model.logit_scale = static_cast<float>(1 / multiplier(config, "logits_scaling"));
  for (LayerShape& layer : shape.layers)
    layer.attention_scale = multiplier(config, "attention_multiplier");
}

void dense_granite_hybrid(const ConfigReader& config, ModelConfig& model) {
  const nlohmann::json* types = config.find("layer_types");
  if (types == nullptr) types = config.find("layers_block_type");
  const std::size_t n = model.shape.layers.size();
  if (types == nullptr || !types->is_array() || types->size() != n)
    config.fail("layer_types is not a list with a name for each of the " + std::to_string(n) +
                " layers");
  for (const nlohmann::json& type : *types) {
    if (type != "attention" && type != "full_attention")
      config.fail("layer_types holds " +
                  (type.is_string() ? printable(type.get<std::string>()) : "something") +
                  ": only layers of attention are supported");
  }
  const nlohmann::json* experts = config.find("num_local_experts");
  if (experts == nullptr || *experts != 0)
    config.fail("num_local_experts is " + (experts == nullptr ? "not there" : shown(*experts)) +
                ": a mixture of experts is not supported");
  if (config.optional_text("position_embedding_type").value_or("") == "rope") return;
  for (LayerShape& layer : model.shape.layers) layer.rope = kNoRope;
}

void qk_norm_by_family(const ConfigReader& config, ModelConfig&) {
  for (const char* key : {"qk_norm", "use_qk_norm"}) {
    if (!config.flag(key, true))
      config.fail(std::string(key) + " is false, which is not supported: the family has the norms");
  }
}

void query_factor_by_position(const ConfigReader& config, ModelConfig& model) {
  const nlohmann::json* rope = config.find("rope_parameters");
  if (rope == nullptr) rope = config.find("rope_scaling");
  double beta = 0.1;  // of Ministral3Config, which has them where config.json has none
  std::int32_t length = 16'384;
  if (rope != nullptr && !rope->empty()) {
    const ConfigReader reader(*rope, config.where() + ": rope_parameters");
    const auto given = reader.optional_number("llama_4_scaling_beta", {0, kFactorLimits.max});
    if (!given) reader.fail("llama_4_scaling_beta is missing");
    beta = *given;
    length = reader.integer("original_max_position_embeddings", kContextLimits);
  }
  for (LayerShape& layer : model.shape.layers) {
    layer.query_beta = beta;
    layer.query_length = length;
  }
}

void logit_scale_of_cohere(const ConfigReader& config, ModelConfig& model) {
  refuse_flag(config, "use_qk_norm");
  model.logit_scale =
      static_cast<float>(config.optional_number("logit_scale", kFactorLimits).value_or(0.0625));
}

}  // namespace tovamill
