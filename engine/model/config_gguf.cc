// What the metadata of a GGUF file say, with the defaults and the meaning that llama.cpp gives each
// key.
#include <cmath>
#include <string>
#include <vector>

#include "engine/model/config_reader.h"
#include "engine/model/family.h"
#include "engine/model/layer_sizes.h"
#include "engine/model/model_config.h"
#include "engine/model/rotary.h"
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

ModelConfig config_from_gguf(const nlohmann::json& fields,
                             const std::optional<TensorView>& rope_freqs,
                             const std::string& where) {
  const ConfigReader metadata(fields, where);
  const Family& family = family_of_gguf(metadata);
  const ConfigReader config(fields, where, std::string(family.name) + ".");
  refuse_unsupported_gguf(config);
  ModelConfig result{.architecture = family.name,
                     .shape = {},
                     .tensors = family.tensors,
                     .interleaved_qk = family.interleaved_qk};
  ModelShape& shape = result.shape;
  read_sizes(config, kGgufKeys, family, shape);
  shape.vocab_size = vocab_size_of(metadata, config);
  const auto eps = config.optional_number("attention.layer_norm_rms_epsilon", kEpsLimits);
  if (!eps) config.fail(config.name("attention.layer_norm_rms_epsilon") + " is missing");
  shape.rms_norm_eps = static_cast<float>(*eps);
  for (LayerShape& layer : shape.layers)
    layer.head_dim = head_dim_of_gguf(config, shape.hidden_size, layer.n_heads);
  apply_rules(family, config, shape.layers);
  check_layers(config, kGgufKeys, shape);
  shape.ropes = {rotary_of_gguf(config, shape.head_dim, rope_freqs)};
  return result;
}

}  // namespace tovamill
