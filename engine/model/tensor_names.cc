#include "engine/model/tensor_names.h"

namespace tovamill {
namespace {

using W = LayerWeights;
using E = Extent;

constexpr LayerTensor kHfLayer[] = {
    {"input_layernorm.weight", &W::attention_norm, E::hidden, E::none, Need::pre_norm},
    {"self_attn.q_proj.weight", &W::q, E::q, E::hidden},
    {"self_attn.k_proj.weight", &W::k, E::kv, E::hidden},
    {"self_attn.v_proj.weight", &W::v, E::kv, E::hidden},
    {"self_attn.o_proj.weight", &W::o, E::hidden, E::q},
    {"post_attention_layernorm.weight", &W::ffn_norm, E::hidden, E::none, Need::pre_norm},
    {"mlp.gate_proj.weight", &W::gate, E::intermediate, E::hidden, Need::gated},
    {"mlp.up_proj.weight", &W::up, E::intermediate, E::hidden},
    {"mlp.down_proj.weight", &W::down, E::hidden, E::intermediate},
    {"self_attn.q_norm.weight", &W::q_norm, E::head, E::none, Need::qk_norm},
    {"self_attn.k_norm.weight", &W::k_norm, E::head, E::none, Need::qk_norm},
    {"self_attn.q_proj.bias", &W::q_bias, E::q, E::none, Need::qkv_bias},
    {"self_attn.k_proj.bias", &W::k_bias, E::kv, E::none, Need::qkv_bias},
    {"self_attn.v_proj.bias", &W::v_bias, E::kv, E::none, Need::qkv_bias},
    {"self_attn.o_proj.bias", &W::o_bias, E::hidden, E::none, Need::o_bias},
    {"mlp.gate_proj.bias", nullptr, E::none, E::none, Need::never},
    {"mlp.up_proj.bias", nullptr, E::none, E::none, Need::never},
    {"mlp.down_proj.bias", nullptr, E::none, E::none, Need::never},
};

constexpr LayerTensor kGgufLayer[] = {
    {"attn_norm.weight", &W::attention_norm, E::hidden, E::none, Need::pre_norm},
    {"attn_q.weight", &W::q, E::q, E::hidden},
    {"attn_k.weight", &W::k, E::kv, E::hidden},
    {"attn_v.weight", &W::v, E::kv, E::hidden},
    {"attn_output.weight", &W::o, E::hidden, E::q},
    {"ffn_norm.weight", &W::ffn_norm, E::hidden, E::none, Need::pre_norm},
    {"ffn_gate.weight", &W::gate, E::intermediate, E::hidden, Need::gated},
    {"ffn_up.weight", &W::up, E::intermediate, E::hidden},
    {"ffn_down.weight", &W::down, E::hidden, E::intermediate},
    {"attn_q_norm.weight", &W::q_norm, E::head, E::none, Need::qk_norm},
    {"attn_k_norm.weight", &W::k_norm, E::head, E::none, Need::qk_norm},
    {"attn_q.bias", &W::q_bias, E::q, E::none, Need::qkv_bias},
    {"attn_k.bias", &W::k_bias, E::kv, E::none, Need::qkv_bias},
    {"attn_v.bias", &W::v_bias, E::kv, E::none, Need::qkv_bias},
    {"attn_output.bias", &W::o_bias, E::hidden, E::none, Need::o_bias},
    {"ffn_gate.bias", nullptr, E::none, E::none, Need::never},
    {"ffn_up.bias", nullptr, E::none, E::none, Need::never},
    {"ffn_down.bias", nullptr, E::none, E::none, Need::never},
};

// Buffers that older versions of transformers saved: rotary frequencies and masks, which follow
// from the configuration.
constexpr const char* kHfHarmless[] = {".rotary_emb.inv_freq", ".rotary_emb.cos_cached",
                                       ".rotary_emb.sin_cached", ".self_attn.masked_bias",
                                       "position_ids"};

}  // namespace

constexpr TensorNames kHfTensors{.embedding = "model.embed_tokens.weight",
                                 .final_norm = "model.norm.weight",
                                 .head = "lm_head.weight",
                                 .absent_head_is_tied = false,
                                 .layer = "model.layers.",
                                 .of_layer = kHfLayer,
                                 .harmless = kHfHarmless};

constexpr TensorNames kGgufTensors{.embedding = "token_embd.weight",
                                   .final_norm = "output_norm.weight",
                                   .head = "output.weight",
                                   .absent_head_is_tied = true,
                                   .layer = "blk.",
                                   .of_layer = kGgufLayer,
                                   .harmless = {},
                                   .with_configuration = "rope_freqs.weight"};

}  // namespace tovamill
