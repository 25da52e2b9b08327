// How keys of a configuration say what a model and its layers are: each a rule (Family::rules),
// with the meaning that transformers or llama.cpp gives the key.
#pragma once

#include "engine/model/config_reader.h"
#include "engine/model/model_config.h"

namespace tovamill {

// attention_bias: of q, k, v and o.
void attention_bias_by_flag(const ConfigReader& config, ModelConfig& model);

// attention_bias, which only other families have: refused where it is true.
void no_attention_bias(const ConfigReader& config, ModelConfig& model);

// layer_types, which only other families have: refused where a layer is not of full attention.
void no_layer_types(const ConfigReader& config, ModelConfig& model);

// attention_bias of q, k and v, true where it is absent, and attention_out_bias of o.
void biases_of_seed_oss(const ConfigReader& config, ModelConfig& model);
// attention_bias of q, k, v and o, true where it is absent.
void bias_of_gpt_oss(const ConfigReader& config, ModelConfig& model);
// qkv_bias of q, k and v, true where it is absent.
void qkv_bias_by_flag(const ConfigReader& config, ModelConfig& model);
// attention_bias of q, k and v, true where it is absent.
void biases_of_glm(const ConfigReader& config, ModelConfig& model);
// use_qkv_bias; use_parallel_residual; qk_layernorm is refused.
void switches_of_stablelm(const ConfigReader& config, ModelConfig& model);
// use_bias of all matrices, `default_value` where it is absent.
void biases_of_starcoder2(const ConfigReader& config, ModelConfig& model);
void biases_of_ernie(const ConfigReader& config, ModelConfig& model);
// mlp_bias: of gate, up and down.
void mlp_bias_by_flag(const ConfigReader& config, ModelConfig& model);

// The embedding is multiplied with the root of hidden_size (Gemma).
void embedding_by_width(const ConfigReader& config, ModelConfig& model);
// Gemma 1: 'gelu' means its approximation by tanh.
void gelu_is_tanh(const ConfigReader& config, ModelConfig& model);
// query_pre_attn_scalar, 256 where it is absent: scores are divided by its root.
void scale_of_gemma(const ConfigReader& config, ModelConfig& model);
// attn_logit_softcapping and final_logit_softcapping; absent 50 and 30, null none.
void caps_of_gemma2(const ConfigReader& config, ModelConfig& model);
// final_logit_softcapping; absent none. transformers has no other of Gemma 3.
void cap_of_gemma3(const ConfigReader& config, ModelConfig& model);
// embedding_multiplier, attention_multiplier, residual_multiplier and logits_scaling.
void multipliers_of_granite(const ConfigReader& config, ModelConfig& model);
// layer_types of attention alone, no experts, position_embedding_type.
void dense_granite_hybrid(const ConfigReader& config, ModelConfig& model);
// qk_norm or use_qk_norm of a family that has these norms always: refused where it is false.
void qk_norm_by_family(const ConfigReader& config, ModelConfig& model);
// rope_parameters.llama_4_scaling_beta and original_max_position_embeddings (Ministral 3).
void query_factor_by_position(const ConfigReader& config, ModelConfig& model);
// logit_scale, 1/16 where it is absent; use_qk_norm is refused.
void logit_scale_of_cohere(const ConfigReader& config, ModelConfig& model);

// ---- of experts (expert_rules.cc)

// num_experts, num_experts_per_tok, moe_intermediate_size, norm_topk_prob, in the layers that
// decoder_sparse_step and mlp_only_layers leave; shared_expert_intermediate_size (Qwen 2).
void experts_of_qwen2(const ConfigReader& config, ModelConfig& model);
void experts_of_qwen3(const ConfigReader& config, ModelConfig& model);
// num_local_experts and num_experts_per_tok, of intermediate_size.
void experts_of_mixtral(const ConfigReader& config, ModelConfig& model);
// num_experts, num_experts_per_tok, norm_topk_prob, of intermediate_size.
void experts_of_olmoe(const ConfigReader& config, ModelConfig& model);
// As Mixtral's, and shared_intermediate_size.
void experts_of_granite(const ConfigReader& config, ModelConfig& model);

// gpt-oss: num_local_experts and num_experts_per_tok, of intermediate_size, with biases; sinks;
// swiglu_alpha and swiglu_limit, which are refused unless they are what is computed.
void experts_of_gpt_oss(const ConfigReader& config, ModelConfig& model);
void experts_of_gpt_oss_gguf(const ConfigReader& config, ModelConfig& model);

// expert_count, expert_used_count of GGUF; where llama.cpp reads them expert_feed_forward_length
// and expert_shared_feed_forward_length, too.
void experts_of_llama_gguf(const ConfigReader& config, ModelConfig& model);  // or none
void experts_of_olmoe_gguf(const ConfigReader& config, ModelConfig& model);
void experts_of_granite_gguf(const ConfigReader& config, ModelConfig& model);
void experts_of_qwen2_gguf(const ConfigReader& config, ModelConfig& model);
void experts_of_qwen3_gguf(const ConfigReader& config, ModelConfig& model);

// ---- of windows and rotations

// sliding_window of all layers; absent is 4,096, null none.
void windows_of_mistral(const ConfigReader& config, ModelConfig& model);

// sliding_window, if use_sliding_window: of the layers that layer_types names, else of those from
// max_window_layers on.
void windows_of_qwen(const ConfigReader& config, ModelConfig& model);

// sliding_window, if use_sliding_window: of all layers (Qwen 3), of those that layer_types names,
// else of each second one below max_window_layers (Qwen 2).
void windows_of_qwen3_moe(const ConfigReader& config, ModelConfig& model);
void windows_of_qwen2_moe(const ConfigReader& config, ModelConfig& model);

// no_rope_layers: a 1 for each layer with rotation, a 0 for one without; where it is absent each
// no_rope_layer_interval-th layer is without.
void ropes_of_smollm3(const ConfigReader& config, ModelConfig& model);

// sliding_window, if use_sliding_window: of the layers that layer_types names, else of those
// without rotation.
void windows_of_smollm3(const ConfigReader& config, ModelConfig& model);

// sliding_window of the layers that layer_types names; where it is absent of all but each second,
// fourth or sixth layer, or as sliding_window_pattern says. Gemma 2 and 3, OLMo 3.
void windows_of_gemma2(const ConfigReader& config, ModelConfig& model);
void windows_of_gemma3(const ConfigReader& config, ModelConfig& model);
void windows_of_olmo3(const ConfigReader& config, ModelConfig& model);
// The same of each second layer, from the first on; absent is 128. gpt-oss.
void windows_of_gpt_oss(const ConfigReader& config, ModelConfig& model);
void windows_of_gpt_oss_gguf(const ConfigReader& config, ModelConfig& model);
// The same, and layers without a window are without rotation. Cohere 2, Exaone 4.
void windows_of_cohere2(const ConfigReader& config, ModelConfig& model);
void windows_of_exaone4(const ConfigReader& config, ModelConfig& model);
// The same, 512 where it is absent; the last layer has none. Gemma 4.
void windows_of_gemma4(const ConfigReader& config, ModelConfig& model);
// The heads of layers without a window: per_layer_config, else global_head_dim and
// num_global_key_value_heads; attention_k_eq_v.
void heads_of_gemma4(const ConfigReader& config, ModelConfig& model);
// num_kv_shared_layers, use_double_wide_mlp, hidden_size_per_layer_input; enable_moe_block and
// use_bidirectional_attention are refused.
void shares_of_gemma4(const ConfigReader& config, ModelConfig& model);
// sliding_window of the layers that layer_types names, else of all; absent is 4,096, null none.
void windows_of_ministral(const ConfigReader& config, ModelConfig& model);
// sliding_window of all layers; absent is none. Phi 3, Starcoder 2.
void window_of_all(const ConfigReader& config, ModelConfig& model);

// GGUF does not say it: as ropes_of_smollm3 where config.json does not either.
void ropes_by_default_interval(const ConfigReader& config, ModelConfig& model);

// attention.sliding_window of all layers.
void window_of_gguf(const ConfigReader& config, ModelConfig& model);

// The same, which llama.cpp does not apply to the family: refused.
void no_window_of_gguf(const ConfigReader& config, ModelConfig& model);

// ---- of GGUF files (gguf_rules.cc): what llama.cpp's models of these names read

// attention.sliding_window, `absent` where it is not there, of the layers that
// sliding_window_pattern names: a list, or all but each so many, absent each `pattern`.
void windows_by_pattern_of_gguf(const ConfigReader& config, std::int32_t absent,
                                std::int32_t pattern, ModelConfig& model);
void gemma2_of_gguf(const ConfigReader& config, ModelConfig& model);
void gemma3_of_gguf(const ConfigReader& config, ModelConfig& model);
void gemma4_of_gguf(const ConfigReader& config, ModelConfig& model);
void olmo2_of_gguf(const ConfigReader& config, ModelConfig& model);
void granite_of_gguf(const ConfigReader& config, ModelConfig& model);
void logit_scale_of_gguf(const ConfigReader& config, ModelConfig& model);
void cohere2_of_gguf(const ConfigReader& config, ModelConfig& model);
void exaone4_of_gguf(const ConfigReader& config, ModelConfig& model);
void stablelm_of_gguf(const ConfigReader& config, ModelConfig& model);
// attention.temperature_scale, by rope.scaling.original_context_length; attention.scale.
void mistral3_of_gguf(const ConfigReader& config, ModelConfig& model);
// xielu.*, whose names have no architecture before them: a number, or one for each layer.
void xielu_of_gguf(const ConfigReader& config, ModelConfig& model);
// Biases of the feed-forward, which files of the family always hold.
void biases_of_gguf(const ConfigReader& config, ModelConfig& model);

}  // namespace tovamill
