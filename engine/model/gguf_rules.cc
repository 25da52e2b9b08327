// Rules of GGUF files, whose keys and defaults are those of llama.cpp's models.
#include <cmath>

#include "engine/model/layer_rules.h"

namespace tovamill {
namespace {

constexpr const char* kWindow = "attention.sliding_window";
constexpr const char* kPattern = "attention.sliding_window_pattern";

std::int32_t window_or(const ConfigReader& config, std::int32_t absent) {
  return config.optional_integer(kWindow, {0, kContextLimits.max}).value_or(absent);
}

// Which layers have the window: by a list with a flag for each, or all but each n-th.
std::vector<bool> windowed_layers(const ConfigReader& config, std::int32_t absent,
                                  std::size_t n_layers) {
  std::vector<bool> windowed;
  const nlohmann::json* pattern = config.find(kPattern);
  if (pattern != nullptr && pattern->is_array()) {
    if (pattern->size() != n_layers)
      config.fail(config.name(kPattern) + " is not a list with a flag for each of the " +
                  std::to_string(n_layers) + " layers");
    for (const nlohmann::json& flag : *pattern) {
      if (!flag.is_boolean()) config.fail(config.name(kPattern) + " holds what is not a flag");
      windowed.push_back(flag.get<bool>());
    }
    return windowed;
  }
  const Limits limits{1, kLayerLimits.max};
  const auto n =
      static_cast<std::size_t>(config.optional_integer(kPattern, limits).value_or(absent));
  for (std::size_t l = 1; l <= n_layers; ++l) windowed.push_back(l % n != 0);
  return windowed;
}

void set_windows(const ConfigReader& config, std::int32_t window, std::int32_t pattern,
                 ModelConfig& model) {
  std::vector<LayerShape>& layers = model.shape.layers;
  if (window == 0) return;
  const std::vector<bool> windowed = windowed_layers(config, pattern, layers.size());
  for (std::size_t l = 0; l < layers.size(); ++l)
    layers[l].sliding_window = windowed[l] ? window : 0;
}

// The largest of a family divides scores by the root of the share of a head in the hidden size.
void set_gemma_scale(std::int32_t n_layers_of_largest, ModelConfig& model) {
  const ModelShape& shape = model.shape;
  for (LayerShape& layer : model.shape.layers) {
    const std::int32_t d =
        shape.n_layers == n_layers_of_largest ? shape.hidden_size / layer.n_heads : layer.head_dim;
    layer.attention_scale = 1 / std::sqrt(static_cast<double>(d));
  }
}

double number_or(const ConfigReader& config, const char* key, double absent) {
  return config.optional_number(key, {0, kFactorLimits.max}).value_or(absent);
}

void leave_out_ropes_of_full_layers(ModelConfig& model) {
  for (LayerShape& layer : model.shape.layers) {
    if (layer.sliding_window == 0) layer.rope = kNoRope;
  }
}

}  // namespace

void windows_by_pattern_of_gguf(const ConfigReader& config, std::int32_t absent,
                                std::int32_t pattern, ModelConfig& model) {
  set_windows(config, window_or(config, absent), pattern, model);
}

void gemma2_of_gguf(const ConfigReader& config, ModelConfig& model) {
  set_windows(config, window_or(config, 4096), 2, model);
  set_gemma_scale(46, model);
  model.shape.logit_cap = static_cast<float>(number_or(config, "final_logit_softcapping", 30));
  const double cap = number_or(config, "attn_logit_softcapping", 50);
  for (LayerShape& layer : model.shape.layers) layer.score_cap = cap;
}

void gemma3_of_gguf(const ConfigReader& config, ModelConfig& model) {
  set_windows(config, window_or(config, 0), 6, model);
  set_gemma_scale(62, model);
}

void olmo2_of_gguf(const ConfigReader& config, ModelConfig& model) {
  set_windows(config, window_or(config, 0), 4, model);
}

// rope.scaling.finetuned is llama.cpp's switch of the rotation here.
void granite_of_gguf(const ConfigReader& config, ModelConfig& model) {
  ModelShape& shape = model.shape;
  const double given = number_or(config, "residual_scale", 0), r = given > 0 ? given : 1;
  const double embedding = number_or(config, "embedding_scale", 0);
  shape.embedding_scale = static_cast<float>((embedding > 0 ? embedding : 1) / r);
  shape.norm_eps = static_cast<float>(static_cast<double>(shape.norm_eps) / (r * r));
  model.logit_scale =
      static_cast<float>(1 / config.optional_number("logit_scale", kFactorLimits).value_or(1));
  const double scale = number_or(config, "attention.scale", 0);
  const bool is_rotated = config.flag("rope.scaling.finetuned", true);
  for (LayerShape& layer : shape.layers) {
    layer.attention_scale = scale;
    if (!is_rotated) layer.rope = kNoRope;
  }
}

void windows_of_gpt_oss_gguf(const ConfigReader& config, ModelConfig& model) {
  set_windows(config, config.integer(kWindow, kContextLimits), 2, model);
}

void logit_scale_of_gguf(const ConfigReader& config, ModelConfig& model) {
  const auto scale = config.optional_number("logit_scale", kFactorLimits);
  if (!scale) config.fail(config.name("logit_scale") + " is missing");
  model.logit_scale = static_cast<float>(*scale);
}

void cohere2_of_gguf(const ConfigReader& config, ModelConfig& model) {
  logit_scale_of_gguf(config, model);
  set_windows(config, config.integer(kWindow, kContextLimits), 4, model);
  leave_out_ropes_of_full_layers(model);
}

// llama.cpp knows the one with windows by its number of layers.
void exaone4_of_gguf(const ConfigReader& config, ModelConfig& model) {
  constexpr std::int32_t kLayersWithWindows = 64;
  if (model.shape.n_layers != kLayersWithWindows) return;
  set_windows(config, window_or(config, 4096), 4, model);
  leave_out_ropes_of_full_layers(model);
}

void stablelm_of_gguf(const ConfigReader& config, ModelConfig& model) {
  const bool is_parallel = config.flag("use_parallel_residual", false);
  for (LayerShape& layer : model.shape.layers) layer.parallel = is_parallel;
}

void mistral3_of_gguf(const ConfigReader& config, ModelConfig& model) {
  const double beta = number_or(config, "attention.temperature_scale", 0),
               scale = number_or(config, "attention.scale", 0);
  for (LayerShape& layer : model.shape.layers) {
    layer.attention_scale = scale;
    if (beta == 0) continue;
    layer.query_beta = beta;
    layer.query_length = config.integer("rope.scaling.original_context_length", kContextLimits);
  }
}

void xielu_of_gguf(const ConfigReader& config, ModelConfig& model) {
  const ConfigReader all(config.object(), config.where());
  std::vector<LayerShape>& layers = model.shape.layers;
  const auto numbers = [&](const char* key) {
    const nlohmann::json* value = all.find(key);
    if (value == nullptr) all.fail(std::string(key) + " is missing");
    const bool is_list = value->is_array();
    if (is_list && value->size() != layers.size())
      all.fail(std::string(key) + " is not a list with a number for each of the " +
               std::to_string(layers.size()) + " layers");
    std::vector<float> found;
    for (std::size_t l = 0; l < layers.size(); ++l) {
      const nlohmann::json& number = is_list ? value->at(l) : *value;
      if (!number.is_number()) all.fail(std::string(key) + " holds what is not a number");
      found.push_back(number.get<float>());
    }
    return found;
  };
  const std::vector<float> alpha_p = numbers("xielu.alpha_p"), alpha_n = numbers("xielu.alpha_n"),
                           beta = numbers("xielu.beta"), eps = numbers("xielu.eps");
  for (std::size_t l = 0; l < layers.size(); ++l)
    layers[l].xielu = xielu_of(alpha_p[l], alpha_n[l], beta[l], eps[l]);
}

void biases_of_gguf(const ConfigReader&, ModelConfig& model) {
  for (LayerShape& layer : model.shape.layers) layer.mlp_bias = true;
}

}  // namespace tovamill
