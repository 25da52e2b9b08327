// Rules of experts: how many there are, how many a token uses, and which layers have them.
#include <algorithm>
#include <cmath>

#include "engine/model/layer_rules.h"

namespace tovamill {
namespace {

constexpr Limits kExpertLimits{1, kMaxExperts}, kUsedLimits{1, kMaxUsedExperts};

// What holds where a configuration is silent.
struct ExpertDefaults {
  std::int32_t n_experts, n_used, intermediate_size, shared_size;
};

// num_experts and num_local_experts are two names of one number.
std::int32_t n_experts_of(const ConfigReader& config, std::int32_t absent) {
  const auto all = config.optional_integer("num_experts", kExpertLimits),
             local = config.optional_integer("num_local_experts", kExpertLimits);
  if (all && local && *all != *local)
    config.fail("num_experts is " + std::to_string(*all) + " and num_local_experts is " +
                std::to_string(*local) + ": the two contradict each other");
  return all ? *all : local.value_or(absent);
}

ExpertsShape experts_of(const ConfigReader& config, const ExpertDefaults& absent) {
  ExpertsShape experts;
  experts.n_experts = n_experts_of(config, absent.n_experts);
  experts.n_used =
      config.optional_integer("num_experts_per_tok", kUsedLimits).value_or(absent.n_used);
  if (experts.n_used > experts.n_experts)
    config.fail("num_experts_per_tok is " + std::to_string(experts.n_used) + " of " +
                std::to_string(experts.n_experts) + " experts");
  return experts;
}

// The layer has these instead of the one that all tokens take; beside them a shared one of
// `shared_size`, if it is not 0.
void put_experts(const ExpertsShape& experts, std::int32_t shared_size, LayerShape& layer) {
  layer.experts = experts;
  layer.experts.has_shared = shared_size > 0;
  layer.intermediate_size = shared_size;
}

// decoder_sparse_step and mlp_only_layers.
std::vector<bool> layers_with_experts(const ConfigReader& config, std::size_t n_layers) {
  const auto step = static_cast<std::size_t>(
      config.optional_integer("decoder_sparse_step", {1, kLayerLimits.max}).value_or(1));
  std::vector<bool> has(n_layers);
  for (std::size_t l = 0; l < n_layers; ++l) has[l] = (l + 1) % step == 0;
  const nlohmann::json* dense = config.find("mlp_only_layers");
  if (dense == nullptr) return has;
  if (!dense->is_array()) config.fail("mlp_only_layers is not a list of layers");
  for (const nlohmann::json& layer : *dense) {
    if (!layer.is_number_unsigned() || layer.get<std::size_t>() >= n_layers)
      config.fail("mlp_only_layers holds what is not the number of a layer");
    has[layer.get<std::size_t>()] = false;
  }
  return has;
}

void put_experts_of_qwen(const ConfigReader& config, const ExpertDefaults& absent,
                         std::int32_t shared_size, ModelConfig& model) {
  ExpertsShape experts = experts_of(config, absent);
  experts.intermediate_size = config.optional_integer("moe_intermediate_size", kIntermediateLimits)
                                  .value_or(absent.intermediate_size);
  experts.normalized = config.flag("norm_topk_prob", false);
  experts.has_shared_gate = shared_size > 0;
  std::vector<LayerShape>& layers = model.shape.layers;
  const std::vector<bool> has = layers_with_experts(config, layers.size());
  for (std::size_t l = 0; l < layers.size(); ++l) {
    if (has[l]) put_experts(experts, shared_size, layers[l]);
  }
}

}  // namespace

void experts_of_qwen3(const ConfigReader& config, ModelConfig& model) {
  put_experts_of_qwen(config, {128, 8, 768, 0}, 0, model);
}

void experts_of_qwen2(const ConfigReader& config, ModelConfig& model) {
  constexpr ExpertDefaults kAbsent{60, 4, 1408, 5632};
  const auto shared =
      config.optional_integer("shared_expert_intermediate_size", kIntermediateLimits);
  put_experts_of_qwen(config, kAbsent, shared.value_or(kAbsent.shared_size), model);
}

void experts_of_mixtral(const ConfigReader& config, ModelConfig& model) {
  ExpertsShape experts = experts_of(config, {8, 2, 0, 0});
  for (LayerShape& layer : model.shape.layers) {
    experts.intermediate_size = layer.intermediate_size;
    put_experts(experts, 0, layer);
  }
}

void experts_of_olmoe(const ConfigReader& config, ModelConfig& model) {
  ExpertsShape experts = experts_of(config, {64, 8, 0, 0});
  experts.normalized = config.flag("norm_topk_prob", false);
  for (LayerShape& layer : model.shape.layers) {
    experts.intermediate_size = layer.intermediate_size;
    put_experts(experts, 0, layer);
  }
}

void experts_of_granite(const ConfigReader& config, ModelConfig& model) {
  ExpertsShape experts = experts_of(config, {8, 2, 0, 0});
  const std::int32_t shared =
      config.optional_integer("shared_intermediate_size", {0, kMaxIntermediateSize}).value_or(0);
  for (LayerShape& layer : model.shape.layers) {
    experts.intermediate_size = layer.intermediate_size;
    put_experts(experts, shared, layer);
  }
}

namespace {

void put_gpt_oss(ExpertsShape experts, ModelConfig& model) {
  experts.router_bias = experts.bias = true;
  for (LayerShape& layer : model.shape.layers) {
    layer.has_sinks = true;
    layer.activation = Activation::clamped_swiglu;
    experts.intermediate_size = layer.intermediate_size;
    put_experts(experts, 0, layer);
  }
}

void need_number(const ConfigReader& config, const char* key, double computed) {
  const double value = config.optional_number(key, {0, 1e6}).value_or(computed);
  if (std::abs(value - computed) < 1e-6) return;
  config.fail(std::string(key) + " is " + std::to_string(value) +
              ", which is not supported: only " + std::to_string(computed) + " is");
}

}  // namespace

void experts_of_gpt_oss(const ConfigReader& config, ModelConfig& model) {
  need_number(config, "swiglu_alpha", static_cast<double>(kSwigluSlope));
  need_number(config, "swiglu_limit", static_cast<double>(kSwigluLimit));
  const ExpertsShape experts = experts_of(config, {128, 4, 0, 0});
  const auto other = config.optional_integer("experts_per_token", kUsedLimits);
  if (other && *other != experts.n_used)
    config.fail("experts_per_token and num_experts_per_tok contradict each other");
  if (config.find("rope_parameters") == nullptr && config.find("rope_scaling") == nullptr)
    config.fail("neither rope_parameters nor rope_scaling is there, which a gpt_oss needs");
  put_gpt_oss(experts, model);
}

namespace {

ExpertsShape experts_of_gguf(const ConfigReader& config, bool is_normalized) {
  ExpertsShape experts;
  experts.n_experts = config.integer("expert_count", kExpertLimits);
  experts.n_used = config.integer("expert_used_count", kUsedLimits);
  experts.normalized = is_normalized;
  if (experts.n_used > experts.n_experts)
    config.fail(config.name("expert_used_count") + " is more than the number of experts");
  return experts;
}

// feed_forward_length is that of a layer whose experts are all used, unless the experts' own is
// there.
std::int32_t expert_size_of_gguf(const ConfigReader& config, const LayerShape& layer,
                                 std::int32_t n_used) {
  const auto own = config.optional_integer("expert_feed_forward_length", kIntermediateLimits);
  const std::int32_t size = own.value_or(layer.intermediate_size / n_used);
  if (size == 0) config.fail(config.name("expert_feed_forward_length") + " is missing");
  return size;
}

std::int32_t shared_size_of_gguf(const ConfigReader& config, std::int32_t absent) {
  const Limits limits{0, kMaxIntermediateSize};
  return config.optional_integer("expert_shared_feed_forward_length", limits).value_or(absent);
}

void put_whole_experts(ExpertsShape experts, std::int32_t shared_size, ModelConfig& model) {
  for (LayerShape& layer : model.shape.layers) {
    experts.intermediate_size = layer.intermediate_size;
    put_experts(experts, shared_size, layer);
  }
}

}  // namespace

void experts_of_llama_gguf(const ConfigReader& config, ModelConfig& model) {
  if (config.optional_integer("expert_count", {0, kMaxExperts}).value_or(0) == 0) {
    if (config.optional_integer("expert_used_count", {0, kMaxUsedExperts}).value_or(0) > 0)
      config.fail(config.name("expert_used_count") + " is not 0 and " +
                  config.name("expert_count") + " is");
    return;
  }
  put_whole_experts(experts_of_gguf(config, true), 0, model);
}

void experts_of_gpt_oss_gguf(const ConfigReader& config, ModelConfig& model) {
  const ExpertsShape experts = experts_of_gguf(config, true);
  for (LayerShape& layer : model.shape.layers)
    layer.intermediate_size = config.integer("expert_feed_forward_length", kIntermediateLimits);
  put_gpt_oss(experts, model);
}

void experts_of_olmoe_gguf(const ConfigReader& config, ModelConfig& model) {
  put_whole_experts(experts_of_gguf(config, false), 0, model);
}

void experts_of_granite_gguf(const ConfigReader& config, ModelConfig& model) {
  put_whole_experts(experts_of_gguf(config, true), shared_size_of_gguf(config, 0), model);
}

void experts_of_qwen3_gguf(const ConfigReader& config, ModelConfig& model) {
  ExpertsShape experts = experts_of_gguf(config, true);
  for (LayerShape& layer : model.shape.layers) {
    experts.intermediate_size = expert_size_of_gguf(config, layer, experts.n_used);
    put_experts(experts, 0, layer);
  }
}

void experts_of_qwen2_gguf(const ConfigReader& config, ModelConfig& model) {
  ExpertsShape experts = experts_of_gguf(config, false);
  experts.has_shared_gate = true;
  for (LayerShape& layer : model.shape.layers) {
    experts.intermediate_size = expert_size_of_gguf(config, layer, experts.n_used);
    const std::int32_t shared = shared_size_of_gguf(config, layer.intermediate_size);
    if (shared == 0) config.fail(config.name("expert_shared_feed_forward_length") + " is 0");
    put_experts(experts, shared, layer);
  }
}

}  // namespace tovamill
