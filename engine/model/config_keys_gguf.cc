// Keys of a GGUF file that begin with the name of its architecture, as llama.cpp's llama-arch.cpp
// lists them.
#include <algorithm>
#include <cmath>
#include <string>
#include <string_view>

#include "engine/model/config_keys.h"
#include "kernels/types/printable.h"

namespace tovamill {

namespace {

// Read, or checked elsewhere by name, or without effect where the scaling is another.
constexpr std::string_view kGgufKnown[] = {"attention.head_count",
                                           "attention.head_count_kv",
                                           "attention.key_length",
                                           "attention.layer_norm_rms_epsilon",
                                           "attention.sliding_window",
                                           "attention.value_length",
                                           "block_count",
                                           "context_length",
                                           "embedding_length",
                                           "feed_forward_length",
                                           "pooling_type",
                                           "rope.dimension_count",
                                           "rope.freq_base",
                                           "rope.scale_linear",
                                           "rope.scaling.attn_factor",
                                           "rope.scaling.factor",
                                           "rope.scaling.finetuned",
                                           "rope.scaling.original_context_length",
                                           "rope.scaling.type",
                                           "rope.scaling.yarn_beta_fast",
                                           "rope.scaling.yarn_beta_slow",
                                           "vocab_size"};

// The one value that means what is computed anyway.
struct GgufNeutral {
  std::string_view key;
  double value;  // also of flags
};

constexpr GgufNeutral kGgufNeutral[] = {{"attention.causal", 1},
                                        {"attention.clamp_kqv", 0},
                                        {"attention.max_alibi_bias", 0},
                                        {"attention.output_scale", 1},
                                        {"attention.scale", 0},
                                        {"attention.shared_kv_layers", 0},
                                        {"attention.temperature_length", 0},
                                        {"attention.temperature_scale", 0},
                                        {"attention.value_scale", 1},
                                        {"attn_logit_softcapping", 0},
                                        {"embedding_scale", 0},
                                        {"expert_count", 0},
                                        {"expert_feed_forward_length", 0},
                                        {"expert_shared_count", 0},
                                        {"expert_used_count", 0},
                                        {"final_logit_softcapping", 0},
                                        {"leading_dense_block_count", 0},
                                        {"logit_scale", 0},
                                        {"nextn_predict_layers", 0},
                                        {"residual_scale", 0},
                                        {"rope.scaling.alpha", 0},
                                        {"rope.scaling.yarn_attn_factor", 1},
                                        {"rope.scaling.yarn_ext_factor", 0},
                                        {"rope.scaling.yarn_log_multiplier", 0},
                                        {"use_parallel_residual", 0}};

// Of tokenizer.ggml.*, beside the ids of tokens: read, or without effect on tokenizers of the kinds
// that are supported.
constexpr std::string_view kTokenizerKnown[] = {"add_bos_token",
                                                "add_eos_token",
                                                "add_sep_token",
                                                "add_space_prefix",
                                                "merges",
                                                "model",
                                                "normalizer.lowercase",
                                                "normalizer.strip_accents",
                                                "pre",
                                                "precompiled_charsmap",
                                                "remove_extra_whitespaces",
                                                "scores",
                                                "suppress_tokens",
                                                "token_type",
                                                "token_type_count",
                                                "tokens"};

constexpr std::string_view kLayouts[] = {"Meta AI original pth", "reference"};

// A number or a flag; NaN for anything else.
double number_of(const nlohmann::json& value) {
  if (value.is_boolean()) return value.get<bool>() ? 1 : 0;
  return value.is_number() ? value.get<double>() : std::nan("");
}

bool is_neutral_gguf(std::string_view key, const nlohmann::json& value) {
  const auto text_is = [&](std::string_view wanted) {
    return value.is_string() && value == wanted;
  };
  if (key == "hidden_activation") return text_is("silu");
  if (key == "tensor_data_layout")
    return std::any_of(std::begin(kLayouts), std::end(kLayouts), text_is);
  for (const GgufNeutral& neutral : kGgufNeutral) {
    if (key == neutral.key) return number_of(value) == neutral.value;
  }
  return false;
}

// Two keys that say the same.
void check_same(const ConfigReader& config, const char* key, const char* of, double meant) {
  const nlohmann::json* value = config.find(key);
  if (value == nullptr || std::abs(number_of(*value) - meant) <= 1e-6 * std::abs(meant)) return;
  config.fail(config.name(key) + " is " + shown(*value) + " and " + of +
              " says otherwise: the two contradict each other");
}

// Keys of the tokenizer that llama.cpp does not read either.
std::vector<std::string> unknown_tokenizer_keys(const nlohmann::json& metadata) {
  constexpr std::string_view kPrefix = "tokenizer.ggml.";
  std::vector<std::string> unknown;
  for (const auto& [key, value] : metadata.items()) {
    if (!key.starts_with(kPrefix)) continue;
    const std::string_view own = std::string_view(key).substr(kPrefix.size());
    if (!own.ends_with("_token_id") &&
        std::find(std::begin(kTokenizerKnown), std::end(kTokenizerKnown), own) ==
            std::end(kTokenizerKnown))
      unknown.push_back(key);
  }
  return unknown;
}

}  // namespace

std::vector<std::string> check_gguf_keys(const ConfigReader& metadata, const ConfigReader& config,
                                         const Family& family, const ModelShape& shape) {
  // Read for that scaling alone (rotary_gguf.cc).
  const bool is_yarn = config.optional_text("rope.scaling.type").value_or("") == "yarn";
  const auto type = metadata.optional_text("general.type");
  if (type && *type != "model")
    metadata.fail("general.type is " + printable(*type) + ": the file is no model");
  check_same(config, "vocab_size", "tokenizer.ggml.tokens", shape.vocab_size);
  check_same(config, "embedding_length_out", "embedding_length", shape.hidden_size);
  if (family.norm == NormKind::rms)
    check_same(config, "attention.layer_norm_epsilon", "attention.layer_norm_rms_epsilon",
               static_cast<double>(shape.qk_norm_eps));
  for (const auto& [key, value] : config.object().items()) {
    if (!key.starts_with(config.prefix())) continue;
    const std::string_view own = std::string_view(key).substr(config.prefix().size());
    if (std::find(std::begin(kGgufKnown), std::end(kGgufKnown), own) != std::end(kGgufKnown) ||
        is_listed(family.reads, own) || own == "embedding_length_out" ||
        own == "attention.layer_norm_epsilon" || is_neutral_gguf(own, value) ||
        (is_yarn && own.starts_with("rope.scaling.yarn_"))) {
      continue;
    }
    if (own.starts_with("expert"))
      config.fail(shown_key(key) + " is " + shown(value) +
                  ": such experts are not supported in a " + family.name);
    config.fail(shown_key(key) + " is " + shown(value) + ", which is not supported");
  }
  return unknown_tokenizer_keys(metadata.object());
}

}  // namespace tovamill
