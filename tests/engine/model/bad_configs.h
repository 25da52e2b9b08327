// Models that are refused by name: what config.json says beside a tiny one of `architecture`, and
// what the message holds.
#pragma once

#include <nlohmann/json.hpp>
#include <string>
#include <utility>
#include <vector>

namespace tovamill::testing {

using json = nlohmann::json;

struct BadConfig {
  std::string architecture;
  json changes;
  std::string message;
};

// Every architecture of transformers 5 that people score texts with and that is not computed.
inline std::vector<BadConfig> other_architectures() {
  std::vector<BadConfig> cases;
  for (const char* type : {"afmoe",
                           "aya_vision",
                           "baichuan",
                           "bamba",
                           "bart",
                           "bert",
                           "bitnet",
                           "blt",
                           "bloom",
                           "chatglm",
                           "codegen",
                           "cohere2_moe",
                           "cwm",
                           "dbrx",
                           "deepseek_v2",
                           "deepseek_v3",
                           "diffllama",
                           "doge",
                           "dots1",
                           "ernie4_5_moe",
                           "exaone",
                           "falcon",
                           "falcon_h1",
                           "falcon_mamba",
                           "flex_olmo",
                           "gemma3n",
                           "glm4_moe",
                           "gpt2",
                           "gpt_bigcode",
                           "gpt_neo",
                           "gpt_neox",
                           "gptj",
                           "hunyuan_v1_moe",
                           "internlm2",
                           "jamba",
                           "jetmoe",
                           "kimi_linear",
                           "lfm2",
                           "lfm2_moe",
                           "llama4",
                           "llama4_text",
                           "longcat_flash",
                           "mamba",
                           "mamba2",
                           "minicpm3",
                           "minimax",
                           "modernbert",
                           "moshi",
                           "mpt",
                           "nemotron_h",
                           "olmo",
                           "olmo_hybrid",
                           "opt",
                           "persimmon",
                           "phi",
                           "phimoe",
                           "qwen2_5_vl",
                           "qwen2_vl",
                           "qwen3_5",
                           "qwen3_next",
                           "recurrent_gemma",
                           "rwkv",
                           "smolvlm",
                           "solar_open",
                           "t5",
                           "t5gemma",
                           "vaultgemma",
                           "xglm",
                           "xlstm",
                           "zamba2"}) {
    cases.push_back({"llama",
                     {{"model_type", type}, {"architectures", nullptr}},
                     std::string("the architecture '") + type + "' is not supported"});
  }
  return cases;
}

// Switches of the families that other models of them have.
inline std::vector<BadConfig> other_switches() {
  const auto of = [](const char* type, json changes) {
    changes["model_type"] = type;
    changes["architectures"] = nullptr;
    return changes;
  };
  return {
      {"llama", of("gemma", {{"use_bidirectional_attention", true}}),
       "use_bidirectional_attention"},
      {"llama", of("gemma3_text", {{"attn_logit_softcapping", 50.0}}), "attn_logit_softcapping"},
      {"llama", of("gemma3_text", {{"rope_parameters", {{"rope_theta", 1e4}}}}), "full_attention"},
      {"llama", of("gemma2", {{"layer_types", {"full_attention"}}}), "a name for each"},
      {"llama", of("gemma2", {{"final_logit_softcapping", -1}}), "final_logit_softcapping is -1"},
      {"llama", of("gemma2", {{"query_pre_attn_scalar", 0}}), "query_pre_attn_scalar is 0"},
      {"llama", of("phi3", {{"attention_bias", true}}), "attention_bias is true"},
      {"llama", of("phi3", {{"partial_rotary_factor", 0.05}}), "not an even number of dimensions"},
      {"llama", of("olmo2", {{"clip_qkv", 8.0}}), "clip_qkv is 8"},
      {"llama", of("olmo3", {{"rope_parameters", {{"chunked_attention", json::object()}}}}),
       "rope_parameters has chunked_attention"},
      {"llama", of("granite", {{"residual_multiplier", 0}}), "residual_multiplier is 0"},
      {"llama",
       of("granitemoehybrid",
          {{"shared_intermediate_size", 64}, {"layer_types", {"mamba", "attention"}}}),
       "layer_types holds 'mamba'"},
      {"llama",
       of("granitemoehybrid", {{"shared_intermediate_size", 64},
                               {"layer_types", {"attention", "attention"}},
                               {"num_local_experts", 8}}),
       "num_local_experts is 8"},
      {"llama", of("granitemoehybrid", {{"layer_types", {"attention", "attention"}}}),
       "shared_intermediate_size is missing"},
      {"llama", of("cohere", {{"use_qk_norm", true}}), "use_qk_norm is true"},
      {"llama", of("stablelm", {{"qk_layernorm", true}}), "qk_layernorm is true"},
      {"llama", of("seed_oss", {{"attention_bias", false}, {"attention_out_bias", true}}),
       "attention_out_bias is true"},
      {"llama", of("exaone4", {{"sliding_window", 16}, {"sliding_window_pattern", "LLLG"}}),
       "sliding_window_pattern is 'LLLG'"},
      {"llama", of("glm4", {{"hidden_act", "swiglu"}}), "hidden_act 'swiglu'"},
      {"llama", of("nemotron", {{"num_local_experts", 2}}), "num_local_experts is 2"},
      {"llama", of("qwen3_moe", {{"num_experts", 4}, {"num_experts_per_tok", 5}}),
       "num_experts_per_tok is 5 of 4 experts"},
      {"llama", of("qwen3_moe", {{"num_experts", 4}, {"num_local_experts", 8}}),
       "num_experts is 4 and num_local_experts is 8"},
      {"llama", of("qwen3_moe", {{"num_experts", 1025}}), "num_experts"},
      {"llama", of("qwen3_moe", {{"num_experts_per_tok", 65}}), "num_experts_per_tok"},
      {"llama", of("qwen3_moe", {{"mlp_only_layers", {7}}}), "mlp_only_layers"},
      {"llama", of("qwen3_moe", {{"mlp_only_layers", "all"}}), "mlp_only_layers"},
      {"llama", of("qwen3_moe", {{"decoder_sparse_step", 0}}), "decoder_sparse_step"},
      {"llama", of("qwen3_moe", {{"shared_expert_intermediate_size", 8}}),
       "shared_expert_intermediate_size is 8"},
      {"llama", of("gpt_oss", {{"swiglu_limit", 8.0}}), "swiglu_limit is 8"},
      {"llama", of("gpt_oss", {{"experts_per_token", 3}}), "contradict each other"},
      {"llama", of("gpt_oss", json::object()), "which a gpt_oss needs"},
      {"llama", of("mixtral", {{"num_local_experts", 1}}), "num_experts_per_tok is 2 of 1 experts"},
      {"llama", of("olmoe", {{"clip_qkv", 8.0}}), "clip_qkv is 8"},
      {"llama", of("ministral", {{"layer_types", {"chunked_attention", "full_attention"}}}),
       "layer_types holds 'chunked_attention'"},
  };
}

}  // namespace tovamill::testing
