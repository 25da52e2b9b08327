#include "engine/model/family.h"

#include "engine/model/layer_rules.h"

namespace tovamill {
namespace {

constexpr Family kHfFamilies[] = {
    {.name = "llama",
     .class_name = "LlamaForCausalLM",
     .rules = {attention_bias_by_flag, no_layer_types},
     .tensors = &kHfTensors},
    {.name = "mistral",
     .class_name = "MistralForCausalLM",
     .rules = {no_attention_bias, windows_of_mistral},
     .tensors = &kHfTensors,
     .n_kv_heads = 8},
    {.name = "qwen2",
     .class_name = "Qwen2ForCausalLM",
     .layer = {.attention_bias = AttentionBias::qkv},
     .rules = {windows_of_qwen},
     .tensors = &kHfTensors,
     .n_kv_heads = 32},
    {.name = "qwen3",
     .class_name = "Qwen3ForCausalLM",
     .layer = {.qk_norm = true},
     .rules = {attention_bias_by_flag, windows_of_qwen},
     .tensors = &kHfTensors,
     .head_dim = 128,
     .n_kv_heads = 32},
    {.name = "smollm3",
     .class_name = "SmolLM3ForCausalLM",
     .rules = {attention_bias_by_flag, ropes_of_smollm3, windows_of_smollm3},
     .tensors = &kHfTensors,
     .rope_theta = 2'000'000,
     .n_kv_heads = 4,
     .tied_head = true},
};

constexpr Family kGgufFamilies[] = {
    {.name = "llama",
     .class_name = nullptr,
     .layer = {.attention_bias = AttentionBias::where_present},
     .rules = {window_of_gguf},
     .tensors = &kGgufTensors,
     .interleaved_qk = true,
     .has_rope_freqs = true},
    {.name = "qwen2",
     .class_name = nullptr,
     .layer = {.attention_bias = AttentionBias::qkv},
     .rules = {window_of_gguf},
     .tensors = &kGgufTensors},
    {.name = "qwen3",
     .class_name = nullptr,
     .layer = {.attention_bias = AttentionBias::where_present, .qk_norm = true},
     .rules = {window_of_gguf},
     .tensors = &kGgufTensors},
    {.name = "smollm3",
     .class_name = nullptr,
     .layer = {.attention_bias = AttentionBias::where_present},
     .rules = {ropes_by_default_interval, no_window_of_gguf},
     .tensors = &kGgufTensors,
     .interleaved_qk = true},
};

}  // namespace

std::span<const Family> hf_families() { return kHfFamilies; }
std::span<const Family> gguf_families() { return kGgufFamilies; }

std::string names_of(std::span<const Family> families) {
  std::string names;
  for (std::size_t i = 0; i < families.size(); ++i) {
    const bool is_last = i + 1 == families.size();
    names += std::string(i == 0 ? "" : is_last ? " and " : ", ") + families[i].name;
  }
  return names;
}

void apply_rules(const Family& family, const ConfigReader& config,
                 std::vector<LayerShape>& layers) {
  for (const LayerRule rule : family.rules) {
    if (rule != nullptr) rule(config, layers);
  }
}

}  // namespace tovamill
