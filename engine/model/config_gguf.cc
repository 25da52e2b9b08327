// What the metadata of a GGUF file say, with the defaults and the meaning that llama.cpp gives each
// key.
#include <cmath>
#include <string>
#include <vector>

#include "engine/model/config_reader.h"
#include "engine/model/model_config.h"
#include "engine/model/rotary.h"
#include "kernels/types/printable.h"

namespace tovamill {

namespace {

std::string architecture_of_gguf(const ConfigReader& metadata) {
  const auto name = metadata.optional_text("general.architecture");
  if (!name) metadata.fail("general.architecture is missing");
  if (*name != "llama" && *name != "qwen2" && *name != "qwen3") {
    metadata.fail("the architecture " + printable(*name) +
                  " is not supported: in GGUF llama (with Mistral), qwen2 and qwen3 are");
  }
  return *name;
}

void refuse_unsupported_gguf(const ConfigReader& config) {
  for (const char* key : {"expert_count", "expert_used_count"}) {
    if (config.optional_integer(key, {0, 1 << 20}).value_or(0) > 0) {
      config.fail(config.name(key) + " is not 0: mixtures of experts are not supported");
    }
  }
  if (!config.flag("attention.causal", true)) {
    config.fail(config.name("attention.causal") + " is false, which is not supported");
  }
  for (const char* key : {"attention.clamp_kqv", "attention.max_alibi_bias", "attention.scale",
                          "logit_scale", "residual_scale", "embedding_scale"}) {
    if (config.optional_number(key, {-1e30, 1e30}).value_or(0) != 0) {
      config.fail(config.name(key) + " is there, which is not supported");
    }
  }
}

RotaryScaling scaling_of(const ConfigReader& config) {
  // Without a type a factor means linear, as it does for the older key.
  const double older = config.optional_number("rope.scale_linear", {0, 1e6}).value_or(0);
  const double factor = config.optional_number("rope.scaling.factor", {0, 1e6}).value_or(older);
  const std::string type = config.optional_text("rope.scaling.type").value_or("linear");
  if (type == "none") return {};
  if (type != "linear") {
    config.fail("the " + config.name("rope.scaling.type") + " " + printable(type) +
                " is not supported: only none and linear are");
  }
  if (factor == 0) return {};
  if (factor < kFactorLimits.min) config.fail(config.name("rope.scaling.factor") + " is too small");
  return {.kind = RotaryScaling::Kind::linear, .factor = factor};
}

// Llama 3: the file holds what each frequency is to be divided by.
void divide_by(std::vector<double>& frequencies, const TensorView& divisors,
               const ConfigReader& config) {
  if (divisors.shape != std::vector<std::int64_t>{static_cast<std::int64_t>(frequencies.size())}) {
    config.fail("tensor 'rope_freqs.weight' does not have " + std::to_string(frequencies.size()) +
                " elements, half the head size");
  }
  std::vector<float> values(frequencies.size());
  dequantize_row(divisors, 0, values.data());
  for (std::size_t i = 0; i < values.size(); ++i) {
    if (!(values[i] > 0) || !std::isfinite(values[i])) {
      config.fail("tensor 'rope_freqs.weight' holds a divisor that is not a positive number");
    }
    frequencies[i] /= static_cast<double>(values[i]);
  }
}

std::vector<double> rotary_of_gguf(const ConfigReader& config, int head_dim,
                                   const std::optional<TensorView>& rope_freqs) {
  constexpr double kDefaultTheta = 10'000;
  const auto rotated = config.optional_integer("rope.dimension_count", {0, 1 << 20});
  if (rotated.value_or(head_dim) != head_dim) {
    config.fail(config.name("rope.dimension_count") + " is " + std::to_string(*rotated) +
                ", not the head size " + std::to_string(head_dim) + ", which is not supported");
  }
  const double theta =
      config.optional_number("rope.freq_base", kThetaLimits).value_or(kDefaultTheta);
  auto frequencies = rotary_frequencies(theta, head_dim, scaling_of(config));
  if (rope_freqs) divide_by(frequencies, *rope_freqs, config);
  return frequencies;
}

std::int32_t head_dim_of_gguf(const ConfigReader& config, const ModelShape& shape) {
  const auto key = config.optional_integer("attention.key_length", kHeadDimLimits);
  const auto value = config.optional_integer("attention.value_length", kHeadDimLimits);
  if (!key && !value) {
    if (shape.hidden_size % shape.n_heads != 0) {
      config.fail(config.name("embedding_length") + " is not a multiple of the number of heads");
    }
    return shape.hidden_size / shape.n_heads;
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

ModelConfig config_from_gguf(const nlohmann::json& fields,
                             const std::optional<TensorView>& rope_freqs,
                             const std::string& where) {
  const ConfigReader metadata(fields, where);
  ModelConfig result;
  result.architecture = architecture_of_gguf(metadata);
  const ConfigReader config(fields, where, result.architecture + ".");
  refuse_unsupported_gguf(config);
  const auto uniform = [&](const char* key, Limits limits) {
    const auto value = config.optional_uniform(key, limits);
    if (!value) config.fail(config.name(key) + " is missing");
    return *value;
  };
  ModelShape& shape = result.shape;
  shape.n_layers = config.integer("block_count", kLayerLimits);
  shape.hidden_size = config.integer("embedding_length", kWidthLimits);
  shape.intermediate_size = uniform("feed_forward_length", kIntermediateLimits);
  shape.n_heads = uniform("attention.head_count", kHeadLimits);
  shape.n_kv_heads =
      config.optional_uniform("attention.head_count_kv", kHeadLimits).value_or(shape.n_heads);
  shape.head_dim = head_dim_of_gguf(config, shape);
  shape.vocab_size = vocab_size_of(metadata, config);
  shape.trained_context = config.integer("context_length", kContextLimits);
  shape.sliding_window =
      config.optional_integer("attention.sliding_window", {0, kContextLimits.max}).value_or(0);
  const auto eps = config.optional_number("attention.layer_norm_rms_epsilon", kEpsLimits);
  if (!eps) config.fail(config.name("attention.layer_norm_rms_epsilon") + " is missing");
  shape.rms_norm_eps = static_cast<float>(*eps);
  check_heads(shape, where);
  shape.inv_freq = rotary_of_gguf(config, shape.head_dim, rope_freqs);
  result.attention_bias =
      result.architecture == "qwen2" ? AttentionBias::qkv : AttentionBias::where_present;
  result.qk_norm = result.architecture == "qwen3";
  result.interleaved_qk = result.architecture == "llama";
  return result;
}

}  // namespace tovamill
