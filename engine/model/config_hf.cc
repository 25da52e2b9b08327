// What config.json says, with the defaults and the meaning that transformers gives each field.
#include <string>
#include <utility>

#include "engine/model/config_reader.h"
#include "engine/model/model_config.h"
#include "engine/model/rotary.h"
#include "kernels/types/printable.h"

namespace tovamill {

namespace {

// model_type, and the one class of `architectures` whose weights are laid out as weights_from_hf
// expects.
constexpr std::pair<const char*, const char*> kArchitectures[] = {{"llama", "LlamaForCausalLM"},
                                                                  {"mistral", "MistralForCausalLM"},
                                                                  {"qwen2", "Qwen2ForCausalLM"},
                                                                  {"qwen3", "Qwen3ForCausalLM"}};
constexpr char kSupported[] = "supported are llama, mistral, qwen2 and qwen3";

std::string architecture_of_hf(const ConfigReader& config) {
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
  for (const auto& [name, causal] : kArchitectures) {
    if ((type ? *type == name : class_name == causal)) {
      if (class_name.empty() || class_name == causal) return name;
      config.fail("the architecture " + printable(class_name) + " is not supported: of " + name +
                  " only " + causal + " is");
    }
  }
  config.fail("the architecture " + printable(type ? *type : class_name) +
              " is not supported: " + kSupported);
}

void refuse_unsupported_hf(const ConfigReader& config) {
  const std::string act = config.optional_text("hidden_act").value_or("silu");
  if (act != "silu" && act != "swish") {
    config.fail("hidden_act " + printable(act) + " is not supported: only silu is");
  }
  if (const nlohmann::json* quantization = config.find("quantization_config")) {
    const bool named = quantization->is_object() && quantization->contains("quant_method") &&
                       quantization->at("quant_method").is_string();
    config.fail("the weights are quantised with " +
                (named ? printable(quantization->at("quant_method").get<std::string>())
                       : "quantization_config") +
                ", which is not supported: use the unquantised model or a GGUF file");
  }
  if (config.flag("mlp_bias", false)) config.fail("mlp_bias is true, which is not supported");
  if (config.flag("rope_interleaved", false)) {
    config.fail("rope_interleaved is true, which is not supported");
  }
}

AttentionBias attention_bias_of(const ConfigReader& config, const std::string& architecture) {
  if (architecture == "qwen2") return AttentionBias::qkv;
  if (architecture == "mistral") return AttentionBias::none;
  return config.flag("attention_bias", false) ? AttentionBias::qkvo : AttentionBias::none;
}

void refuse_partial_rotation(const ConfigReader& config) {
  const auto part = config.optional_number("partial_rotary_factor", {0, 1});
  if (part.value_or(1) != 1) {
    config.fail(config.name("partial_rotary_factor") + " is not 1, which is not supported");
  }
}

// The two spellings: rope_theta with rope_scaling, and the newer rope_parameters that holds both.
std::vector<double> rotary_of_hf(const ConfigReader& config, int head_dim) {
  constexpr double kDefaultTheta = 10'000;
  refuse_partial_rotation(config);
  double theta = config.optional_number("rope_theta", kThetaLimits).value_or(kDefaultTheta);
  RotaryScaling scaling;
  for (const char* key : {"rope_scaling", "rope_parameters"}) {
    const nlohmann::json* object = config.find(key);
    if (object == nullptr) continue;
    const std::string place = config.where() + ": " + key;
    const ConfigReader rope(*object, place);
    for (const auto& [name, value] : object->items()) {
      if (value.is_object()) rope.fail("differs between kinds of layers, which is not supported");
    }
    refuse_partial_rotation(rope);
    theta = rope.optional_number("rope_theta", kThetaLimits).value_or(theta);
    const auto spelled = rope.optional_text("rope_type");
    const std::string type = spelled ? *spelled : rope.optional_text("type").value_or("default");
    const auto number = [&](const char* field, Limits limits) {
      const auto value = rope.optional_number(field, limits);
      if (!value) rope.fail(std::string(field) + " is missing");
      return *value;
    };
    if (type == "default") continue;
    if (type == "linear") {
      scaling = {.kind = RotaryScaling::Kind::linear, .factor = number("factor", kFactorLimits)};
    } else if (type == "llama3") {
      scaling = {.kind = RotaryScaling::Kind::llama3,
                 .factor = number("factor", kFactorLimits),
                 .low_freq_factor = number("low_freq_factor", kFactorLimits),
                 .high_freq_factor = number("high_freq_factor", kFactorLimits),
                 .original_context = number("original_max_position_embeddings", kContextLimits)};
      if (scaling.high_freq_factor <= scaling.low_freq_factor) {
        rope.fail("high_freq_factor is not above low_freq_factor");
      }
    } else {
      rope.fail("the scaling " + printable(type) +
                " is not supported: only default, linear and llama3 are");
    }
  }
  return rotary_frequencies(theta, head_dim, scaling);
}

enum class WindowedLayers { none, all, unsaid };

// layer_types of newer configurations: a name for each layer.
WindowedLayers windows_by_layer_types(const ConfigReader& config, std::int32_t n_layers) {
  const nlohmann::json* types = config.find("layer_types");
  if (types == nullptr) return WindowedLayers::unsaid;
  if (!types->is_array() || types->size() != static_cast<std::size_t>(n_layers)) {
    config.fail("layer_types is not a list with a name for each of the " +
                std::to_string(n_layers) + " layers");
  }
  for (const nlohmann::json& type : *types) {
    if (type != "full_attention" && type != "sliding_attention") {
      config.fail("layer_types holds " +
                  (type.is_string() ? printable(type.get<std::string>()) : "something") +
                  ": only full_attention and sliding_attention are supported");
    }
    if (type != types->front()) {
      config.fail("layer_types mixes full_attention and sliding_attention, which is not supported");
    }
  }
  return types->front() == "sliding_attention" ? WindowedLayers::all : WindowedLayers::none;
}

// Tokens; 0 is none. Mistral's absent field means 4,096 and its null none; Qwen's layers from
// max_window_layers on have windows, if use_sliding_window.
std::int32_t sliding_window_of(const ConfigReader& config, const nlohmann::json& fields,
                               const std::string& architecture, std::int32_t n_layers) {
  constexpr std::int32_t kDefaultWindow = 4096;
  if (architecture == "llama") return 0;
  std::int32_t window = config.optional_integer("sliding_window", kContextLimits).value_or(0);
  if (!fields.contains("sliding_window")) window = kDefaultWindow;
  const WindowedLayers by_type = windows_by_layer_types(config, n_layers);
  if (architecture != "mistral") {
    if (!config.flag("use_sliding_window", false)) window = 0;
    const std::int32_t first =
        config.optional_integer("max_window_layers", {0, 1 << 20}).value_or(28);
    if (by_type == WindowedLayers::unsaid && window > 0 && first > 0) {
      if (first < n_layers) {
        config.fail("max_window_layers is " + std::to_string(first) +
                    ", so that only some layers have a sliding window, which is not supported");
      }
      window = 0;
    }
  }
  if (by_type == WindowedLayers::all && window == 0) {
    config.fail("layer_types says sliding_attention but there is no sliding_window");
  }
  if (by_type == WindowedLayers::none && architecture == "mistral" && window > 0) {
    config.fail("layer_types says full_attention but there is a sliding_window");
  }
  return by_type == WindowedLayers::none ? 0 : window;
}

std::int32_t head_dim_of_hf(const ConfigReader& config, const ModelShape& shape,
                            const std::string& architecture) {
  if (const auto head_dim = config.optional_integer("head_dim", kHeadDimLimits)) return *head_dim;
  if (architecture == "qwen3") return 128;
  if (shape.hidden_size % shape.n_heads != 0) {
    config.fail("hidden_size is not a multiple of num_attention_heads and there is no head_dim");
  }
  return shape.hidden_size / shape.n_heads;
}

}  // namespace

ModelConfig config_from_hf(const nlohmann::json& fields, const std::string& where) {
  const ConfigReader config(fields, where);
  ModelConfig result;
  result.architecture = architecture_of_hf(config);
  refuse_unsupported_hf(config);
  ModelShape& shape = result.shape;
  shape.n_layers = config.integer("num_hidden_layers", kLayerLimits);
  shape.hidden_size = config.integer("hidden_size", kWidthLimits);
  shape.intermediate_size = config.integer("intermediate_size", kIntermediateLimits);
  shape.n_heads = config.integer("num_attention_heads", kHeadLimits);
  shape.n_kv_heads =
      config.optional_integer("num_key_value_heads", kHeadLimits).value_or(shape.n_heads);
  shape.head_dim = head_dim_of_hf(config, shape, result.architecture);
  shape.vocab_size = config.integer("vocab_size", kVocabLimits);
  shape.trained_context = config.integer("max_position_embeddings", kContextLimits);
  shape.rms_norm_eps =
      static_cast<float>(config.optional_number("rms_norm_eps", kEpsLimits).value_or(1e-6));
  check_heads(shape, where);
  shape.sliding_window = sliding_window_of(config, fields, result.architecture, shape.n_layers);
  shape.inv_freq = rotary_of_hf(config, shape.head_dim);
  result.tied_head = config.flag("tie_word_embeddings", false);
  result.attention_bias = attention_bias_of(config, result.architecture);
  result.qk_norm = result.architecture == "qwen3";
  return result;
}

}  // namespace tovamill
