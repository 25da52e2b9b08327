#include "engine/model/tensor_names.h"

#include <algorithm>
#include <array>
#include <cstddef>

namespace tovamill {
namespace {

using W = LayerWeights;
using X = ExpertTensors;
using E = Extent;

template <std::size_t... kSizes>
constexpr auto joined(const LayerTensor (&... parts)[kSizes]) {
  std::array<LayerTensor, (kSizes + ...)> all{};
  auto* to = all.begin();
  ((to = std::copy(std::begin(parts), std::end(parts), to)), ...);
  return all;
}

// ---- config.json's models

constexpr LayerTensor kAttention[] = {
    {"self_attn.q_proj.weight", &W::q, E::q, E::hidden},
    {"self_attn.k_proj.weight", &W::k, E::kv, E::hidden},
    {"self_attn.v_proj.weight", &W::v, E::kv, E::hidden},
    {"self_attn.q_proj.bias", &W::q_bias, E::q, E::none, Need::qkv_bias},
    {"self_attn.k_proj.bias", &W::k_bias, E::kv, E::none, Need::qkv_bias},
    {"self_attn.v_proj.bias", &W::v_bias, E::kv, E::none, Need::qkv_bias},
};

constexpr LayerTensor kGemma4Attention[] = {
    {"self_attn.q_proj.weight", &W::q, E::q, E::hidden},
    {"self_attn.k_proj.weight", &W::k, E::kv, E::hidden, Need::own_kv},
    {"self_attn.k_proj.weight", &W::v, E::kv, E::hidden, Need::k_as_v},
    {"self_attn.v_proj.weight", &W::v, E::kv, E::hidden, Need::own_v},
    {"self_attn.q_proj.bias", &W::q_bias, E::q, E::none, Need::qkv_bias},
    {"self_attn.k_proj.bias", &W::k_bias, E::kv, E::none, Need::own_kv_bias},
    {"self_attn.k_proj.bias", &W::v_bias, E::kv, E::none, Need::k_as_v_bias},
    {"self_attn.v_proj.bias", &W::v_bias, E::kv, E::none, Need::own_v_bias},
    {"self_attn.o_proj.weight", &W::o, E::hidden, E::q},
    {"self_attn.o_proj.bias", &W::o_bias, E::hidden, E::none, Need::o_bias},
    {"self_attn.q_norm.weight", &W::q_norm, E::q_norm, E::none, Need::qk_norm},
    {"self_attn.k_norm.weight", &W::k_norm, E::k_norm, E::none, Need::own_kv},
};

constexpr LayerTensor kGemma4Input[] = {
    {"per_layer_input_gate.weight", &W::input_gate, E::per_layer, E::hidden, Need::layer_input},
    {"per_layer_projection.weight", &W::input_projection, E::hidden, E::per_layer,
     Need::layer_input},
    {"post_per_layer_input_norm.weight", &W::input_norm, E::hidden, E::none, Need::layer_input},
    {"layer_scalar", &W::output_scale, E::one, E::none, Need::always},
};

constexpr LayerTensor kFusedAttention[] = {
    {"self_attn.qkv_proj.weight", &W::q, E::q, E::hidden, Need::always, E::none, E::qkv},
    {"self_attn.qkv_proj.weight", &W::k, E::kv, E::hidden, Need::always, E::q, E::qkv},
    {"self_attn.qkv_proj.weight", &W::v, E::kv, E::hidden, Need::always, E::q_k, E::qkv},
};

constexpr LayerTensor kAttentionOutput[] = {
    {"self_attn.o_proj.weight", &W::o, E::hidden, E::q},
    {"self_attn.o_proj.bias", &W::o_bias, E::hidden, E::none, Need::o_bias},
    {"self_attn.q_norm.weight", &W::q_norm, E::q_norm, E::none, Need::qk_norm},
    {"self_attn.k_norm.weight", &W::k_norm, E::k_norm, E::none, Need::qk_norm},
};

constexpr LayerTensor kHunYuanAttentionOutput[] = {
    {"self_attn.o_proj.weight", &W::o, E::hidden, E::q},
    {"self_attn.o_proj.bias", &W::o_bias, E::hidden, E::none, Need::o_bias},
    {"self_attn.query_layernorm.weight", &W::q_norm, E::q_norm, E::none, Need::qk_norm},
    {"self_attn.key_layernorm.weight", &W::k_norm, E::k_norm, E::none, Need::qk_norm},
};

constexpr LayerTensor kGatedMlp[] = {
    {"mlp.gate_proj.weight", &W::gate, E::intermediate, E::hidden, Need::gated},
    {"mlp.up_proj.weight", &W::up, E::intermediate, E::hidden, Need::dense},
    {"mlp.down_proj.weight", &W::down, E::hidden, E::intermediate, Need::dense},
    {"mlp.gate_proj.bias", &W::gate_bias, E::intermediate, E::none, Need::gate_bias},
    {"mlp.up_proj.bias", &W::up_bias, E::intermediate, E::none, Need::mlp_bias},
    {"mlp.down_proj.bias", &W::down_bias, E::hidden, E::none, Need::mlp_bias},
};

constexpr LayerTensor kQwenExperts[] = {
    {"mlp.gate.weight", &W::router, E::n_experts, E::hidden, Need::experts},
    {"mlp.shared_expert.gate_proj.weight", &W::gate, E::intermediate, E::hidden,
     Need::shared_expert},
    {"mlp.shared_expert.up_proj.weight", &W::up, E::intermediate, E::hidden, Need::shared_expert},
    {"mlp.shared_expert.down_proj.weight", &W::down, E::hidden, E::intermediate,
     Need::shared_expert},
    {"mlp.shared_expert_gate.weight", &W::shared_gate, E::one, E::hidden, Need::shared_gate},
};

constexpr ExpertTensor kQwenOfExpert[] = {
    {"mlp.experts.", ".gate_proj.weight", &X::gate, E::expert_intermediate, E::hidden},
    {"mlp.experts.", ".up_proj.weight", &X::up, E::expert_intermediate, E::hidden},
    {"mlp.experts.", ".down_proj.weight", &X::down, E::hidden, E::expert_intermediate},
};

constexpr LayerTensor kMixtralExperts[] = {
    {"block_sparse_moe.gate.weight", &W::router, E::n_experts, E::hidden, Need::experts},
};

constexpr ExpertTensor kMixtralOfExpert[] = {
    {"block_sparse_moe.experts.", ".w1.weight", &X::gate, E::expert_intermediate, E::hidden},
    {"block_sparse_moe.experts.", ".w3.weight", &X::up, E::expert_intermediate, E::hidden},
    {"block_sparse_moe.experts.", ".w2.weight", &X::down, E::hidden, E::expert_intermediate},
};

constexpr LayerTensor kGptOssExperts[] = {
    {"self_attn.sinks", &W::sinks, E::heads, E::none, Need::sinks},
    {"mlp.router.weight", &W::router, E::n_experts, E::hidden, Need::experts},
    {"mlp.router.bias", &W::router_bias, E::n_experts, E::none, Need::router_bias},
};

constexpr LayerTensor kGraniteExperts[] = {
    {"block_sparse_moe.router.layer.weight", &W::router, E::n_experts, E::hidden, Need::experts},
    {"shared_mlp.input_linear.weight", &W::gate, E::intermediate, E::hidden, Need::shared_expert,
     E::none, E::twice_intermediate},
    {"shared_mlp.input_linear.weight", &W::up, E::intermediate, E::hidden, Need::shared_expert,
     E::intermediate, E::twice_intermediate},
    {"shared_mlp.output_linear.weight", &W::down, E::hidden, E::intermediate, Need::shared_expert},
};

constexpr ExpertTensor kGraniteOfExpert[] = {
    {"block_sparse_moe.input_linear.weight", nullptr, &X::gate, E::expert_intermediate, E::hidden,
     Need::experts, E::none, E::twice_expert_intermediate},
    {"block_sparse_moe.input_linear.weight", nullptr, &X::up, E::expert_intermediate, E::hidden,
     Need::experts, E::expert_intermediate, E::twice_expert_intermediate},
    {"block_sparse_moe.output_linear.weight", nullptr, &X::down, E::hidden, E::expert_intermediate},
};

constexpr LayerTensor kFusedMlp[] = {
    {"mlp.gate_up_proj.weight", &W::gate, E::intermediate, E::hidden, Need::always, E::none,
     E::twice_intermediate},
    {"mlp.gate_up_proj.weight", &W::up, E::intermediate, E::hidden, Need::always, E::intermediate,
     E::twice_intermediate},
    {"mlp.down_proj.weight", &W::down, E::hidden, E::intermediate},
};

constexpr LayerTensor kGpt2Mlp[] = {
    {"mlp.c_fc.weight", &W::up, E::intermediate, E::hidden},
    {"mlp.c_fc.bias", &W::up_bias, E::intermediate, E::none, Need::mlp_bias},
    {"mlp.c_proj.weight", &W::down, E::hidden, E::intermediate},
    {"mlp.c_proj.bias", &W::down_bias, E::hidden, E::none, Need::mlp_bias},
};

constexpr LayerTensor kSharedMlp[] = {
    {"shared_mlp.input_linear.weight", &W::gate, E::intermediate, E::hidden, Need::always, E::none,
     E::twice_intermediate},
    {"shared_mlp.input_linear.weight", &W::up, E::intermediate, E::hidden, Need::always,
     E::intermediate, E::twice_intermediate},
    {"shared_mlp.output_linear.weight", &W::down, E::hidden, E::intermediate},
};

constexpr LayerTensor kXieluMlp[] = {
    {"mlp.up_proj.weight", &W::up, E::intermediate, E::hidden},
    {"mlp.down_proj.weight", &W::down, E::hidden, E::intermediate},
    {"mlp.act_fn.alpha_p", &W::xielu_alpha_p, E::one, E::none, Need::xielu},
    {"mlp.act_fn.alpha_n", &W::xielu_alpha_n, E::one, E::none, Need::xielu},
    {"mlp.act_fn.beta", &W::xielu_beta, E::one, E::none, Need::xielu},
    {"mlp.act_fn.eps", &W::xielu_eps, E::one, E::none, Need::xielu},
};

constexpr LayerTensor kNorms[] = {
    {"input_layernorm.weight", &W::attention_norm, E::hidden, E::none, Need::pre_norm},
    {"input_layernorm.bias", &W::attention_norm_bias, E::hidden, E::none, Need::pre_norm_bias},
    {"post_attention_layernorm.weight", &W::ffn_norm, E::hidden, E::none, Need::ffn_norm},
    {"post_attention_layernorm.bias", &W::ffn_norm_bias, E::hidden, E::none, Need::ffn_norm_bias},
};

constexpr LayerTensor kApertusNorms[] = {
    {"attention_layernorm.weight", &W::attention_norm, E::hidden, E::none, Need::pre_norm},
    {"feedforward_layernorm.weight", &W::ffn_norm, E::hidden, E::none, Need::ffn_norm},
};

constexpr LayerTensor kNormsBefore[] = {
    {"input_layernorm.weight", &W::attention_norm, E::hidden, E::none, Need::pre_norm},
    {"pre_feedforward_layernorm.weight", &W::ffn_norm, E::hidden, E::none, Need::ffn_norm},
};

constexpr LayerTensor kNormsBehind[] = {
    {"post_attention_layernorm.weight", &W::attention_post_norm, E::hidden, E::none,
     Need::post_norm},
    {"post_feedforward_layernorm.weight", &W::ffn_post_norm, E::hidden, E::none, Need::post_norm},
};

constexpr LayerTensor kGlmNormsBehind[] = {
    {"post_self_attn_layernorm.weight", &W::attention_post_norm, E::hidden, E::none,
     Need::post_norm},
    {"post_mlp_layernorm.weight", &W::ffn_post_norm, E::hidden, E::none, Need::post_norm},
};

constexpr auto kLlama = joined(kAttention, kAttentionOutput, kGatedMlp, kNorms);
constexpr auto kPhi3 = joined(kFusedAttention, kAttentionOutput, kFusedMlp, kNorms);
constexpr auto kGemma2 =
    joined(kAttention, kAttentionOutput, kGatedMlp, kNormsBefore, kNormsBehind);
constexpr auto kOlmo2 = joined(kAttention, kAttentionOutput, kGatedMlp, kNormsBehind);
constexpr auto kGlm = joined(kAttention, kAttentionOutput, kFusedMlp, kNorms);
constexpr auto kGlm4 = joined(kAttention, kAttentionOutput, kFusedMlp, kNorms, kGlmNormsBehind);
constexpr auto kStarcoder2 = joined(kAttention, kAttentionOutput, kGpt2Mlp, kNorms);
constexpr auto kGemma4 =
    joined(kGemma4Attention, kGatedMlp, kNormsBefore, kNormsBehind, kGemma4Input);
constexpr auto kHunYuan = joined(kAttention, kHunYuanAttentionOutput, kGatedMlp, kNorms);
constexpr auto kApertus = joined(kAttention, kAttentionOutput, kXieluMlp, kApertusNorms);
constexpr auto kGraniteHybrid = joined(kAttention, kAttentionOutput, kSharedMlp, kNorms);

constexpr auto kQwenMoe = joined(kAttention, kAttentionOutput, kGatedMlp, kQwenExperts, kNorms);
constexpr auto kGptOss = joined(kAttention, kAttentionOutput, kGptOssExperts, kNorms);
constexpr auto kMixtral = joined(kAttention, kAttentionOutput, kMixtralExperts, kNorms);
constexpr auto kGraniteMoe = joined(kAttention, kAttentionOutput, kGraniteExperts, kNorms);

// ---- GGUF

constexpr LayerTensor kGgufAttention[] = {
    {"attn_q.weight", &W::q, E::q, E::hidden},
    {"attn_k.weight", &W::k, E::kv, E::hidden},
    {"attn_v.weight", &W::v, E::kv, E::hidden},
    {"attn_q.bias", &W::q_bias, E::q, E::none, Need::qkv_bias},
    {"attn_k.bias", &W::k_bias, E::kv, E::none, Need::qkv_bias},
    {"attn_v.bias", &W::v_bias, E::kv, E::none, Need::qkv_bias},
};

constexpr LayerTensor kGgufFusedAttention[] = {
    {"attn_qkv.weight", &W::q, E::q, E::hidden, Need::always, E::none, E::qkv},
    {"attn_qkv.weight", &W::k, E::kv, E::hidden, Need::always, E::q, E::qkv},
    {"attn_qkv.weight", &W::v, E::kv, E::hidden, Need::always, E::q_k, E::qkv},
};

constexpr LayerTensor kGgufAttentionOutput[] = {
    {"attn_output.weight", &W::o, E::hidden, E::q},
    {"attn_output.bias", &W::o_bias, E::hidden, E::none, Need::o_bias},
    {"attn_q_norm.weight", &W::q_norm, E::q_norm, E::none, Need::qk_norm},
    {"attn_k_norm.weight", &W::k_norm, E::k_norm, E::none, Need::qk_norm},
};

constexpr LayerTensor kGgufMlp[] = {
    {"ffn_gate.weight", &W::gate, E::intermediate, E::hidden, Need::gated},
    {"ffn_up.weight", &W::up, E::intermediate, E::hidden, Need::dense},
    {"ffn_down.weight", &W::down, E::hidden, E::intermediate, Need::dense},
    {"ffn_gate.bias", &W::gate_bias, E::intermediate, E::none, Need::gate_bias},
    {"ffn_up.bias", &W::up_bias, E::intermediate, E::none, Need::mlp_bias},
    {"ffn_down.bias", &W::down_bias, E::hidden, E::none, Need::mlp_bias},
};

constexpr LayerTensor kGgufExperts[] = {
    {"ffn_gate_inp.weight", &W::router, E::n_experts, E::hidden, Need::experts},
    {"ffn_gate_shexp.weight", &W::gate, E::intermediate, E::hidden, Need::shared_expert},
    {"ffn_up_shexp.weight", &W::up, E::intermediate, E::hidden, Need::shared_expert},
    {"ffn_down_shexp.weight", &W::down, E::hidden, E::intermediate, Need::shared_expert},
    {"ffn_gate_inp_shexp.weight", &W::shared_gate, E::hidden, E::none, Need::shared_gate},
};

constexpr ExpertTensor kGgufOfExpert[] = {
    {"ffn_gate_exps.weight", nullptr, &X::gate, E::expert_intermediate, E::hidden},
    {"ffn_up_exps.weight", nullptr, &X::up, E::expert_intermediate, E::hidden},
    {"ffn_down_exps.weight", nullptr, &X::down, E::hidden, E::expert_intermediate},
};

constexpr LayerTensor kGgufGptOssExperts[] = {
    {"attn_sinks.weight", &W::sinks, E::heads, E::none, Need::sinks},
    {"ffn_gate_inp.weight", &W::router, E::n_experts, E::hidden, Need::experts},
    {"ffn_gate_inp.bias", &W::router_bias, E::n_experts, E::none, Need::router_bias},
};

constexpr ExpertTensor kGgufGptOssOfExpert[] = {
    {"ffn_gate_exps.weight", nullptr, &X::gate, E::expert_intermediate, E::hidden},
    {"ffn_up_exps.weight", nullptr, &X::up, E::expert_intermediate, E::hidden},
    {"ffn_down_exps.weight", nullptr, &X::down, E::hidden, E::expert_intermediate},
    {"ffn_gate_exps.bias", nullptr, &X::gate_bias, E::expert_intermediate, E::none,
     Need::expert_bias},
    {"ffn_up_exps.bias", nullptr, &X::up_bias, E::expert_intermediate, E::none, Need::expert_bias},
    {"ffn_down_exps.bias", nullptr, &X::down_bias, E::hidden, E::none, Need::expert_bias},
};

constexpr LayerTensor kGgufFusedMlp[] = {
    {"ffn_up.weight", &W::gate, E::intermediate, E::hidden, Need::always, E::none,
     E::twice_intermediate},
    {"ffn_up.weight", &W::up, E::intermediate, E::hidden, Need::always, E::intermediate,
     E::twice_intermediate},
    {"ffn_down.weight", &W::down, E::hidden, E::intermediate},
};

constexpr LayerTensor kGgufNorms[] = {
    {"attn_norm.weight", &W::attention_norm, E::hidden, E::none, Need::pre_norm},
    {"attn_norm.bias", &W::attention_norm_bias, E::hidden, E::none, Need::pre_norm_bias},
    {"ffn_norm.weight", &W::ffn_norm, E::hidden, E::none, Need::ffn_norm},
    {"ffn_norm.bias", &W::ffn_norm_bias, E::hidden, E::none, Need::ffn_norm_bias},
    {"post_attention_norm.weight", &W::attention_post_norm, E::hidden, E::none, Need::post_norm},
    {"post_ffw_norm.weight", &W::ffn_post_norm, E::hidden, E::none, Need::post_norm},
};

constexpr LayerTensor kGgufSeedOssNorms[] = {
    {"attn_norm.weight", &W::attention_norm, E::hidden, E::none, Need::pre_norm},
    {"post_attention_norm.weight", &W::ffn_norm, E::hidden, E::none, Need::ffn_norm},
};

constexpr LayerTensor kGgufGemma4Attention[] = {
    {"attn_q.weight", &W::q, E::q, E::hidden},
    {"attn_k.weight", &W::k, E::kv, E::hidden, Need::own_kv},
    {"attn_v.weight", &W::v, E::kv, E::hidden, Need::own_v_or_k},
    {"attn_output.weight", &W::o, E::hidden, E::q},
    {"attn_q_norm.weight", &W::q_norm, E::q_norm, E::none, Need::qk_norm},
    {"attn_k_norm.weight", &W::k_norm, E::k_norm, E::none, Need::own_kv},
};

constexpr LayerTensor kGgufGemma4Input[] = {
    {"inp_gate.weight", &W::input_gate, E::per_layer, E::hidden, Need::layer_input},
    {"proj.weight", &W::input_projection, E::hidden, E::per_layer, Need::layer_input},
    {"post_norm.weight", &W::input_norm, E::hidden, E::none, Need::layer_input},
    {"layer_output_scale.weight", &W::output_scale, E::one, E::none, Need::optional},
};

constexpr auto kGgufGemma4 = joined(kGgufGemma4Attention, kGgufMlp, kGgufNorms, kGgufGemma4Input);
constexpr auto kGguf = joined(kGgufAttention, kGgufAttentionOutput, kGgufMlp, kGgufNorms);
constexpr auto kGgufMoe =
    joined(kGgufAttention, kGgufAttentionOutput, kGgufMlp, kGgufExperts, kGgufNorms);
constexpr auto kGgufPhi3 =
    joined(kGgufFusedAttention, kGgufAttentionOutput, kGgufFusedMlp, kGgufNorms);
constexpr auto kGgufGlm4 = joined(kGgufAttention, kGgufAttentionOutput, kGgufFusedMlp, kGgufNorms);
constexpr auto kGgufGptOss =
    joined(kGgufAttention, kGgufAttentionOutput, kGgufGptOssExperts, kGgufSeedOssNorms);
constexpr auto kGgufSeedOss =
    joined(kGgufAttention, kGgufAttentionOutput, kGgufMlp, kGgufSeedOssNorms);

// Buffers that older versions of transformers saved: rotary frequencies and masks, which follow
// from the configuration.
constexpr const char* kHfHarmless[] = {".rotary_emb.inv_freq", ".rotary_emb.cos_cached",
                                       ".rotary_emb.sin_cached", ".self_attn.masked_bias",
                                       "position_ids"};

constexpr const char* kRotaryTensors[] = {"rope_freqs.weight", "rope_factors_long.weight",
                                          "rope_factors_short.weight"};

constexpr TensorNames hf_tensors(std::span<const LayerTensor> of_layer,
                                 std::span<const ExpertTensor> of_expert = {}) {
  return {.embedding = "model.embed_tokens.weight",
          .final_norm = "model.norm.weight",
          .final_norm_bias = "model.norm.bias",
          .head = "lm_head.weight",
          .absent_head_is_tied = false,
          .layer = "model.layers.",
          .of_layer = of_layer,
          .of_expert = of_expert,
          .harmless = kHfHarmless};
}

constexpr TensorNames gguf_tensors(std::span<const LayerTensor> of_layer,
                                   std::span<const ExpertTensor> of_expert = {}) {
  return {.embedding = "token_embd.weight",
          .final_norm = "output_norm.weight",
          .final_norm_bias = "output_norm.bias",
          .head = "output.weight",
          .absent_head_is_tied = true,
          .layer = "blk.",
          .of_layer = of_layer,
          .of_expert = of_expert,
          .harmless = {},
          .with_configuration = kRotaryTensors};
}

constexpr TensorNames gpt_oss_tensors() {
  TensorNames names = hf_tensors(kGptOss);
  names.has_interleaved_experts = true;
  return names;
}

}  // namespace

constexpr TensorNames kHfTensors = hf_tensors(kLlama);
constexpr TensorNames kHfPhi3Tensors = hf_tensors(kPhi3);
constexpr TensorNames kHfGemma2Tensors = hf_tensors(kGemma2);
constexpr TensorNames kHfOlmo2Tensors = hf_tensors(kOlmo2);
constexpr TensorNames kHfGlmTensors = hf_tensors(kGlm);
constexpr TensorNames kHfGlm4Tensors = hf_tensors(kGlm4);
constexpr TensorNames kHfStarcoder2Tensors = hf_tensors(kStarcoder2);
constexpr TensorNames kHfGraniteHybridTensors = hf_tensors(kGraniteHybrid);
constexpr TensorNames kHfQwenMoeTensors = hf_tensors(kQwenMoe, kQwenOfExpert);
constexpr TensorNames kHfMixtralTensors = hf_tensors(kMixtral, kMixtralOfExpert);
constexpr TensorNames kHfGptOssTensors = gpt_oss_tensors();
constexpr TensorNames kGgufGptOssTensors = gguf_tensors(kGgufGptOss, kGgufGptOssOfExpert);
constexpr TensorNames kHfGraniteMoeTensors = hf_tensors(kGraniteMoe, kGraniteOfExpert);
constexpr TensorNames kGgufMoeTensors = gguf_tensors(kGgufMoe, kGgufOfExpert);
constexpr TensorNames gemma4_tensors() {
  TensorNames names = hf_tensors(kGemma4);
  names.per_layer_embedding = "model.embed_tokens_per_layer.weight";
  names.per_layer_projection = "model.per_layer_model_projection.weight";
  names.per_layer_norm = "model.per_layer_projection_norm.weight";
  return names;
}
constexpr TensorNames kHfGemma4Tensors = gemma4_tensors();
constexpr TensorNames kHfHunYuanTensors = hf_tensors(kHunYuan);
constexpr TensorNames kHfApertusTensors = hf_tensors(kApertus);
constexpr TensorNames kGgufTensors = gguf_tensors(kGguf);
constexpr TensorNames gguf_gemma4_tensors() {
  TensorNames names = gguf_tensors(kGgufGemma4);
  names.per_layer_embedding = "per_layer_token_embd.weight";
  names.per_layer_projection = "per_layer_model_proj.weight";
  names.per_layer_norm = "per_layer_proj_norm.weight";
  return names;
}
constexpr TensorNames kGgufGemma4Tensors = gguf_gemma4_tensors();
constexpr TensorNames kGgufPhi3Tensors = gguf_tensors(kGgufPhi3);
constexpr TensorNames kGgufGlm4Tensors = gguf_tensors(kGgufGlm4);
constexpr TensorNames kGgufSeedOssTensors = gguf_tensors(kGgufSeedOss);

}  // namespace tovamill
