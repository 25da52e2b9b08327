#include "io/model/random_families.h"

namespace tovamill {
namespace {

// LongRoPE's factors of Phi-4-mini are left out: it rotates as plain RoPE.
constexpr RandomFamily kFamilies[] = {
    {"gemma-3-1b", R"({"architectures": ["Gemma3ForCausalLM"], "model_type": "gemma3_text",
      "hidden_activation": "gelu_pytorch_tanh", "num_hidden_layers": 26, "hidden_size": 1152,
      "intermediate_size": 6912, "num_attention_heads": 4, "num_key_value_heads": 1,
      "head_dim": 256, "vocab_size": 262144, "max_position_embeddings": 32768,
      "rms_norm_eps": 1e-6, "rope_theta": 1e6, "rope_local_base_freq": 1e4, "sliding_window": 512,
      "sliding_window_pattern": 6, "query_pre_attn_scalar": 256, "tie_word_embeddings": true})",
     true},
    {"gemma-4-e2b", R"({"architectures": ["Gemma4ForCausalLM"], "model_type": "gemma4_text",
      "hidden_activation": "gelu_pytorch_tanh", "num_hidden_layers": 35, "hidden_size": 1536,
      "intermediate_size": 6144, "num_attention_heads": 8, "num_key_value_heads": 1,
      "head_dim": 256, "global_head_dim": 512, "vocab_size": 262144,
      "vocab_size_per_layer_input": 262144, "hidden_size_per_layer_input": 256,
      "max_position_embeddings": 131072, "rms_norm_eps": 1e-6, "sliding_window": 512,
      "num_kv_shared_layers": 20, "use_double_wide_mlp": true, "final_logit_softcapping": 30.0,
      "tie_word_embeddings": true})",
     true},
    {"granite-3-2b", R"({"architectures": ["GraniteForCausalLM"], "model_type": "granite",
      "hidden_act": "silu", "num_hidden_layers": 40, "hidden_size": 2048,
      "intermediate_size": 8192, "num_attention_heads": 32, "num_key_value_heads": 8,
      "vocab_size": 49159, "max_position_embeddings": 131072, "rms_norm_eps": 1e-5,
      "rope_theta": 1e7, "embedding_multiplier": 12.0, "attention_multiplier": 0.015625,
      "residual_multiplier": 0.22, "logits_scaling": 8.0, "tie_word_embeddings": true})",
     false},
    {"ministral-3-3b", R"({"architectures": ["Ministral3ForCausalLM"], "model_type": "ministral3",
      "hidden_act": "silu", "num_hidden_layers": 26, "hidden_size": 3072,
      "intermediate_size": 9216, "num_attention_heads": 32, "num_key_value_heads": 8,
      "head_dim": 128, "vocab_size": 131072, "max_position_embeddings": 262144,
      "rms_norm_eps": 1e-5, "tie_word_embeddings": true})",
     true},
    {"olmo-3-7b", R"({"architectures": ["Olmo3ForCausalLM"], "model_type": "olmo3",
      "hidden_act": "silu", "num_hidden_layers": 32, "hidden_size": 4096,
      "intermediate_size": 11008, "num_attention_heads": 32, "num_key_value_heads": 32,
      "vocab_size": 100278, "max_position_embeddings": 65536, "rms_norm_eps": 1e-6,
      "rope_theta": 5e5, "sliding_window": 4096, "rope_scaling": {"rope_type": "yarn",
      "factor": 8.0, "original_max_position_embeddings": 8192, "beta_fast": 32, "beta_slow": 1},
      "tie_word_embeddings": false})",
     false},
    {"phi-4-mini", R"({"architectures": ["Phi3ForCausalLM"], "model_type": "phi3",
      "hidden_act": "silu", "num_hidden_layers": 32, "hidden_size": 3072,
      "intermediate_size": 8192, "num_attention_heads": 24, "num_key_value_heads": 8,
      "vocab_size": 200064, "max_position_embeddings": 131072, "rms_norm_eps": 1e-5,
      "rope_theta": 1e4, "partial_rotary_factor": 0.75, "sliding_window": null,
      "tie_word_embeddings": true})",
     false},
    {"smollm3-3b", R"({"architectures": ["SmolLM3ForCausalLM"], "model_type": "smollm3",
      "hidden_act": "silu", "num_hidden_layers": 36, "hidden_size": 2048,
      "intermediate_size": 11008, "num_attention_heads": 16, "num_key_value_heads": 4,
      "vocab_size": 128256, "max_position_embeddings": 65536, "rms_norm_eps": 1e-6,
      "rope_theta": 5e6, "no_rope_layer_interval": 4, "tie_word_embeddings": true})",
     false}};

}  // namespace

std::span<const RandomFamily> random_families() { return kFamilies; }

}  // namespace tovamill
