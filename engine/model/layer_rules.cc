#include "engine/model/layer_rules.h"

#include <algorithm>

#include "kernels/types/printable.h"

namespace tovamill {
namespace {

constexpr std::int32_t kDefaultWindow = 4096;  // of MistralConfig, Qwen2Config and Qwen3Config
constexpr std::int32_t kNoRopeInterval = 4;    // of SmolLM3Config, and of llama.cpp

// Whether each layer has a window by layer_types, a name for each; empty where there is none.
std::vector<bool> windowed_by_layer_types(const ConfigReader& config, std::size_t n_layers) {
  const nlohmann::json* types = config.find("layer_types");
  if (types == nullptr) return {};
  if (!types->is_array() || types->size() != n_layers) {
    config.fail("layer_types is not a list with a name for each of the " +
                std::to_string(n_layers) + " layers");
  }
  std::vector<bool> windowed;
  for (const nlohmann::json& type : *types) {
    if (type != "full_attention" && type != "sliding_attention") {
      config.fail("layer_types holds " +
                  (type.is_string() ? printable(type.get<std::string>()) : "something") +
                  ": only full_attention and sliding_attention are supported");
    }
    windowed.push_back(type == "sliding_attention");
  }
  return windowed;
}

std::int32_t window_of(const ConfigReader& config, std::int32_t absent = kDefaultWindow) {
  if (!config.has("sliding_window")) return absent;
  return config.optional_integer("sliding_window", kContextLimits).value_or(0);
}

void set_windows(std::int32_t window, const std::vector<bool>& windowed, const ConfigReader& config,
                 std::vector<LayerShape>& layers) {
  for (std::size_t l = 0; l < layers.size(); ++l) {
    if (!windowed[l]) continue;
    if (window == 0 && config.find("sliding_window") != nullptr)
      config.fail(
          "layer_types says sliding_attention but there is no sliding_window: use_sliding_window "
          "is "
          "not true");
    if (window == 0)
      config.fail("layer_types says sliding_attention but there is no sliding_window");
    layers[l].sliding_window = window;
  }
}

// Each `interval`-th layer is without rotation.
void leave_out_ropes(std::int32_t interval, std::vector<LayerShape>& layers) {
  const auto step = static_cast<std::size_t>(interval);
  for (std::size_t l = step - 1; l < layers.size(); l += step) layers[l].rope = kNoRope;
}

}  // namespace

void no_layer_types(const ConfigReader& config, ModelConfig& model) {
  std::vector<LayerShape>& layers = model.shape.layers;
  const std::vector<bool> windowed = windowed_by_layer_types(config, layers.size());
  if (std::find(windowed.begin(), windowed.end(), true) != windowed.end())
    config.fail("layer_types holds 'sliding_attention': the family has no sliding window");
}

void windows_of_mistral(const ConfigReader& config, ModelConfig& model) {
  std::vector<LayerShape>& layers = model.shape.layers;
  const std::int32_t window = window_of(config);
  if (window > 0 && !config.flag("use_sliding_window", true))
    config.fail("use_sliding_window is false but there is a sliding_window");
  std::vector<bool> windowed = windowed_by_layer_types(config, layers.size());
  if (windowed.empty()) windowed.assign(layers.size(), window > 0);
  if (window > 0 && std::find(windowed.begin(), windowed.end(), false) != windowed.end())
    config.fail("layer_types says full_attention but there is a sliding_window");
  set_windows(window, windowed, config, layers);
}

void windows_of_qwen(const ConfigReader& config, ModelConfig& model) {
  std::vector<LayerShape>& layers = model.shape.layers;
  const std::int32_t window = config.flag("use_sliding_window", false) ? window_of(config) : 0;
  const auto n = static_cast<std::int32_t>(layers.size());
  const std::int32_t first =
      config.optional_integer("max_window_layers", {0, 1 << 20}).value_or(28);
  std::vector<bool> windowed = windowed_by_layer_types(config, layers.size());
  if (windowed.empty()) {
    for (std::int32_t l = 0; l < n; ++l) windowed.push_back(window > 0 && l >= first);
  }
  set_windows(window, windowed, config, layers);
}

void windows_of_qwen3_moe(const ConfigReader& config, ModelConfig& model) {
  std::vector<LayerShape>& layers = model.shape.layers;
  const std::int32_t window = config.flag("use_sliding_window", false) ? window_of(config) : 0;
  std::vector<bool> windowed = windowed_by_layer_types(config, layers.size());
  if (windowed.empty()) windowed.assign(layers.size(), window > 0);
  if (window > 0 && std::find(windowed.begin(), windowed.end(), false) != windowed.end())
    config.fail("layer_types says full_attention but there is a sliding_window");
  set_windows(window, windowed, config, layers);
}

void windows_of_qwen2_moe(const ConfigReader& config, ModelConfig& model) {
  std::vector<LayerShape>& layers = model.shape.layers;
  const std::int32_t window = config.flag("use_sliding_window", false) ? window_of(config) : 0;
  const std::int32_t end = config.optional_integer("max_window_layers", {0, 1 << 20}).value_or(28);
  std::vector<bool> windowed = windowed_by_layer_types(config, layers.size());
  if (windowed.empty()) {
    for (std::int32_t l = 0; l < static_cast<std::int32_t>(layers.size()); ++l)
      windowed.push_back(window > 0 && l % 2 == 0 && l < end);
  }
  set_windows(window, windowed, config, layers);
}

void ropes_of_smollm3(const ConfigReader& config, ModelConfig& model) {
  std::vector<LayerShape>& layers = model.shape.layers;
  const nlohmann::json* rotated = config.find("no_rope_layers");
  if (rotated == nullptr) {
    const Limits limits{1, kLayerLimits.max};
    const auto interval = config.optional_integer("no_rope_layer_interval", limits);
    return leave_out_ropes(interval.value_or(kNoRopeInterval), layers);
  }
  if (!rotated->is_array() || rotated->size() < layers.size()) {
    config.fail("no_rope_layers is not a list with a number for each of the " +
                std::to_string(layers.size()) + " layers");
  }
  for (std::size_t l = 0; l < layers.size(); ++l) {
    const nlohmann::json& is_rotated = rotated->at(l);
    if (is_rotated != 0 && is_rotated != 1)
      config.fail("no_rope_layers holds what is neither 0 nor 1");
    if (is_rotated == 0) layers[l].rope = kNoRope;
  }
}

void windows_of_smollm3(const ConfigReader& config, ModelConfig& model) {
  std::vector<LayerShape>& layers = model.shape.layers;
  const bool is_used = config.flag("use_sliding_window", false);
  const std::int32_t window =
      is_used ? config.optional_integer("sliding_window", kContextLimits).value_or(0) : 0;
  std::vector<bool> windowed = windowed_by_layer_types(config, layers.size());
  if (windowed.empty()) {
    for (const LayerShape& layer : layers) windowed.push_back(window > 0 && layer.rope == kNoRope);
  }
  set_windows(window, windowed, config, layers);
}

void ropes_by_default_interval(const ConfigReader&, ModelConfig& model) {
  leave_out_ropes(kNoRopeInterval, model.shape.layers);
}

namespace {

// The layers of sliding attention by layer_types; where it is absent all but each `pattern`-th.
std::vector<bool> windowed_by_pattern(const ConfigReader& config, std::int32_t pattern,
                                      std::size_t n_layers) {
  std::vector<bool> windowed = windowed_by_layer_types(config, n_layers);
  if (!windowed.empty()) return windowed;
  for (std::size_t l = 1; l <= n_layers; ++l)
    windowed.push_back(l % static_cast<std::size_t>(pattern) != 0);
  return windowed;
}

std::int32_t pattern_of(const ConfigReader& config, std::int32_t absent) {
  if (config.find("layer_types") != nullptr) return absent;
  return config.optional_integer("sliding_window_pattern", {1, kLayerLimits.max}).value_or(absent);
}

void windows_by_pattern(const ConfigReader& config, std::int32_t pattern, ModelConfig& model) {
  std::vector<LayerShape>& layers = model.shape.layers;
  set_windows(window_of(config), windowed_by_pattern(config, pattern, layers.size()), config,
              layers);
}

void no_ropes_without_window(std::vector<LayerShape>& layers) {
  for (LayerShape& layer : layers) {
    if (layer.sliding_window == 0) layer.rope = kNoRope;
  }
}

}  // namespace

void windows_of_gemma2(const ConfigReader& config, ModelConfig& model) {
  windows_by_pattern(config, 2, model);
}

void windows_of_gemma3(const ConfigReader& config, ModelConfig& model) {
  windows_by_pattern(config, pattern_of(config, 6), model);
}

void windows_of_gemma4(const ConfigReader& config, ModelConfig& model) {
  std::vector<LayerShape>& layers = model.shape.layers;
  std::vector<bool> windowed = windowed_by_pattern(config, 6, layers.size());
  windowed.back() = false;
  set_windows(window_of(config, 512), windowed, config, layers);
}

void windows_of_olmo3(const ConfigReader& config, ModelConfig& model) {
  windows_by_pattern(config, 4, model);
}

void windows_of_gpt_oss(const ConfigReader& config, ModelConfig& model) {
  constexpr std::int32_t kAbsent = 128;
  std::vector<LayerShape>& layers = model.shape.layers;
  const std::int32_t window = config.has("sliding_window") ? window_of(config) : kAbsent;
  set_windows(window, windowed_by_pattern(config, 2, layers.size()), config, layers);
}

void windows_of_cohere2(const ConfigReader& config, ModelConfig& model) {
  windows_by_pattern(config, pattern_of(config, 4), model);
  no_ropes_without_window(model.shape.layers);
}

// null: no layer has a window, and all are rotated.
void windows_of_exaone4(const ConfigReader& config, ModelConfig& model) {
  if (window_of(config) == 0) return no_layer_types(config, model);
  windows_by_pattern(config, pattern_of(config, 4), model);
  no_ropes_without_window(model.shape.layers);
}

void windows_of_ministral(const ConfigReader& config, ModelConfig& model) {
  std::vector<LayerShape>& layers = model.shape.layers;
  const std::int32_t window = window_of(config);
  std::vector<bool> windowed = windowed_by_layer_types(config, layers.size());
  if (windowed.empty()) windowed.assign(layers.size(), window > 0);
  set_windows(window, windowed, config, layers);
}

void window_of_all(const ConfigReader& config, ModelConfig& model) {
  const std::int32_t window = config.optional_integer("sliding_window", kContextLimits).value_or(0);
  for (LayerShape& layer : model.shape.layers) layer.sliding_window = window;
}

void window_of_gguf(const ConfigReader& config, ModelConfig& model) {
  std::vector<LayerShape>& layers = model.shape.layers;
  const auto window =
      config.optional_integer("attention.sliding_window", {0, kContextLimits.max}).value_or(0);
  for (LayerShape& layer : layers) layer.sliding_window = window;
}

void no_window_of_gguf(const ConfigReader& config, ModelConfig&) {
  if (config.optional_integer("attention.sliding_window", {0, kContextLimits.max}).value_or(0) > 0)
    config.fail(config.name("attention.sliding_window") + " is there, which is not supported");
}

}  // namespace tovamill
