// Keys of config.json. The tables follow the configuration and modelling classes of transformers
// 5.24: what its classes of the supported families do not read, and other families do.
#include <algorithm>
#include <cmath>
#include <string>
#include <string_view>

#include "engine/model/config_keys.h"

namespace tovamill {

namespace {

using std::string_view;

// Read, or checked elsewhere by name, for every family.
constexpr string_view kRead =
    "architectures attention_bias head_dim hidden_act hidden_size intermediate_size"
    " layer_types max_position_embeddings mlp_bias model_type num_attention_heads"
    " num_hidden_layers num_key_value_heads original_max_position_embeddings"
    " partial_rotary_factor quantization_config rms_norm_eps rope_interleaved rope_parameters"
    " rope_scaling rope_theta tie_word_embeddings vocab_size";

// Of training, of the library, of generation and of outputs: nothing of a model's arithmetic.
constexpr string_view kHarmless =
    "add_bos_token add_cross_attention add_eos_token attention_dropout"
    " attention_probs_dropout_prob attn_implementation attn_pdrop auto_map bad_words_ids"
    " begin_suppress_tokens chunk_size_feed_forward classifier_dropout"
    " cross_attention_hidden_size custom_pipelines dataset diversity_penalty do_sample dropout"
    " dtype early_stopping embd_pdrop encoder_no_repeat_ngram_size"
    " exponential_decay_length_penalty ffn_dim_multiplier finetuning_task"
    " gradient_checkpointing hidden_dropout hidden_dropout_prob id2label initializer_factor"
    " initializer_range is_decoder is_llama_config label2id length_penalty lora_dropout"
    " max_length max_seq_len max_seq_length max_sequence_length min_length mlp_dropout"
    " model_max_length multiple_of n_ctx n_positions name_or_path no_repeat_ngram_size"
    " num_beam_groups num_beams num_labels num_return_sequences output_attentions"
    " output_hidden_states output_router_logits output_scores prefix pretraining_tp"
    " problem_type remove_invalid_values repetition_penalty resid_pdrop return_dict"
    " return_dict_in_generate router_aux_loss_coef sep_token_id seq_length suppress_tokens"
    " task_specific_params temperature tf_legacy_loss tie_encoder_decoder"
    " tie_last_hidden_states tokenizer_class top_k top_p torch_dtype torchscript"
    " transformers.js_config transformers_version typical_p unsloth_fixed unsloth_version"
    " use_bfloat16 use_cache use_flash_attn";

// What leaves a key without effect, beside null.
enum class Neutral : std::uint8_t {
  off,       // false, 0, "", "none", an empty list or object
  one,       // 1
  on,        // true
  rms_norm,  // a name of RMSNorm
  silu,      // a name of SiLU
  rotary,    // a name of rotary positions
  head_dim,  // the head size
  scale,     // 1 / sqrt(head size)
};

struct Foreign {
  Neutral neutral;
  string_view keys;
};

// With these other families, or transformers for all of them, compute something else.
constexpr Foreign kForeign[] = {
    {Neutral::off,
     "add_bias_linear alibi apply_residual_connection_post_layernorm attention_chunk_size"
     " attention_k_eq_v attention_out_bias attention_output_gate attention_sink"
     " attention_sinks attention_window attention_window_size attn_output_gate"
     " attn_temperature_tuning audio_config bias clip_qkv compression_config"
     " configuration_files cross_attention_layers dim_model_base enable_bias"
     " first_k_dense_replace gated_attention global_attn_every_n_layers global_rope_theta"
     " interleaved_attention is_encoder_decoder kv_lora_rank kv_source_layers layer_rope_theta"
     " linear_attention lm_head_bias local_attention local_rope_theta mlp_only_layers"
     " multi_query new_decoder_architecture norm_after norm_before_gate norm_bias"
     " normalize_embeddings num_kv_shared_layers num_nextn_predict_layers parallel_attn"
     " per_layer_config post_norm pruned_heads q_lora_rank qkv_bias relative_attention"
     " reorder_and_upcast_attn rescale_embeddings rescale_every rope_interleave"
     " rope_local_base_freq scale_attn_by_inverse_layer_idx scale_depth scale_embedding"
     " scale_sqrt_depth sliding_window_pattern sliding_window_size text_config use_alibi"
     " use_attention_bias use_attention_gate use_attention_sinks use_bias"
     " use_bidirectional_attention use_cla use_dynamic_ntk use_logn_attn use_mlp_bias use_mrope"
     " use_parallel_residual use_post_norm use_qkv_bias use_relative_position_bias"
     " use_sandwich_norm vision_config"},
    {Neutral::one,
     "attention_value_scale decoder_sparse_step embed_scale embedding_scale"
     " full_attention_interval logit_scale logits_scaling output_multiplier_scale"
     " qk_scale_factor residual_scale rope_pct rope_percent rope_ratio rotary_pct"
     " rotary_percent scale_emb"},
    {Neutral::on,
     "causal do_layer_norm_before is_causal pre_norm rope_is_neox_style rotary"
     " scale_attn_weights use_causal_mask use_gated_mlp use_rms_norm use_rope"
     " use_rotary_embeddings"},
    {Neutral::rms_norm, "norm_type normalization_type"},
    {Neutral::silu, "activation activation_function hidden_activation hidden_activation_function"},
    {Neutral::rotary, "position_embedding_type rope_type"},
    {Neutral::head_dim, "qk_dim qk_head_dim query_pre_attn_scalar rotary_dim v_head_dim"},
    {Neutral::scale, "attention_multiplier attention_scale attn_scale scaling softmax_scale"}};

// Parts of names that say it of keys that no table has: softcaps, multipliers, mixtures of experts.
constexpr Foreign kForeignParts[] = {
    {Neutral::off,
     "softcap soft_cap qk_norm qk_layer qk_l2 expert moe_ lora_ adapter bidirectional"
     " logit_bias"},
    {Neutral::one, "multiplier"}};

// Other names for what a key of these families says.
struct Synonyms {
  const char* of;
  string_view keys;
};
constexpr Synonyms kSynonyms[] = {
    {"head_dim", "attention_head_dim d_head kv_channels"},
    {"hidden_size", "d_model dim n_embd"},
    {"intermediate_size", "ffn_dim ffn_hidden_size n_inner"},
    {"rms_norm_eps", "layer_norm_eps layer_norm_epsilon layernorm_epsilon norm_eps norm_epsilon"},
    {"num_key_value_heads", "multi_query_group_num n_kv_heads num_kv_heads"},
    {"num_attention_heads", "n_head n_heads num_heads"},
    {"num_hidden_layers", "n_layer n_layers num_layers"},
    {"rope_theta", "rope_base rotary_base rotary_emb_base rotary_embedding_base"}};

// Calls `found` with each word of a list until it says true; whether it did.
template <typename Found>
bool any_word(string_view words, Found found) {
  while (!words.empty()) {
    const std::size_t n = std::min(words.find(' '), words.size());
    if (found(words.substr(0, n))) return true;
    words.remove_prefix(std::min(n + 1, words.size()));
  }
  return false;
}

bool holds(string_view words, string_view name) {
  return any_word(words, [&](string_view word) { return word == name; });
}

bool is_close(double a, double b) { return std::abs(a - b) <= 1e-6 * std::abs(b); }

// Whether a value is one of the words, or an empty text.
bool is_text_of(const nlohmann::json& value, string_view words) {
  if (!value.is_string()) return false;
  const auto& text = value.get_ref<const std::string&>();
  return text.empty() || holds(words, text);
}

// Whether a value leaves a key without effect.
bool is_neutral(const nlohmann::json& value, Neutral neutral, std::int32_t head_dim) {
  const auto is_number = [&](double wanted) {
    return value.is_number() && is_close(value.get<double>(), wanted);
  };
  if (value.is_null()) return true;
  switch (neutral) {
    case Neutral::off:
      return value == false || value == 0 || is_text_of(value, "none") ||
             (value.is_structured() && value.empty());
    case Neutral::one:
      return is_number(1);
    case Neutral::on:
      return value == true;
    case Neutral::rms_norm:
      return is_text_of(value, "rms_norm rmsnorm RMSNorm rms");
    case Neutral::silu:
      return is_text_of(value, "silu swish swiglu");
    case Neutral::rotary:
      return is_text_of(value, "rope rotary default");
    case Neutral::head_dim:
      return is_number(head_dim);
    case Neutral::scale:
      return is_number(1 / std::sqrt(static_cast<double>(head_dim)));
  }
  return false;
}

const char* wanted(Neutral neutral) {
  switch (neutral) {
    case Neutral::off:
      return "false, 0 or nothing";
    case Neutral::one:
      return "1";
    case Neutral::on:
      return "true";
    case Neutral::rms_norm:
      return "'rms_norm'";
    case Neutral::silu:
      return "'silu'";
    case Neutral::rotary:
      return "'rope'";
    case Neutral::head_dim:
      return "the head size";
    case Neutral::scale:
      return "1 / sqrt(head size)";
  }
  return "";
}

const Foreign* foreign_of(string_view key) {
  for (const Foreign& foreign : kForeign) {
    if (holds(foreign.keys, key)) return &foreign;
  }
  const auto is_part = [&](string_view part) { return key.find(part) != string_view::npos; };
  for (const Foreign& parts : kForeignParts) {
    if (any_word(parts.keys, is_part)) return &parts;
  }
  return nullptr;
}

// The key for which `key` is another name; null where it is none.
const char* meant_by(string_view key) {
  for (const Synonyms& synonyms : kSynonyms) {
    if (holds(synonyms.keys, key)) return synonyms.of;
  }
  return nullptr;
}

bool is_read(string_view key, const Family& family) {
  return holds(kRead, key) || holds(family.reads, key);
}

bool is_known_harmless(string_view key) {
  return holds(kHarmless, key) || key.starts_with('_') || key.ends_with("_token_id") ||
         key.ends_with("_token");
}

void check_synonym(const ConfigReader& config, const std::string& key, const std::string& of,
                   const ModelShape& shape) {
  const nlohmann::json* value = config.find(key);
  if (value == nullptr) return;
  // Sizes that may be absent are what they come to.
  const nlohmann::json* stated = config.find(of);
  nlohmann::json meant;
  if (stated != nullptr) {
    meant = *stated;
  } else if (of == "head_dim") {
    meant = shape.head_dim;
  } else if (of == "rms_norm_eps") {
    meant = shape.norm_eps;
  } else if (of == "num_key_value_heads") {
    meant = shape.n_kv_heads;
  }
  if (value->is_number() && meant.is_number() &&
      is_close(value->get<double>(), meant.get<double>())) {
    return;
  }
  config.fail(key + " is " + shown(*value) + " and " + of + " is " +
              (meant.is_null() ? "not there" : shown(meant)) + ": the two contradict each other");
}

// Only files of these names are read.
void check_file_name(const ConfigReader& config) {
  const nlohmann::json* name = config.find("transformers_weights");
  if (name == nullptr || is_text_of(*name, "model.safetensors model.safetensors.index.json"))
    return;
  config.fail("transformers_weights is " + shown(*name) +
              ", which is not supported: only model.safetensors and its index are read");
}

}  // namespace

bool is_listed(string_view words, string_view key) { return holds(words, key); }

std::vector<std::string> check_hf_keys(const ConfigReader& config, const Family& family,
                                       const ModelShape& shape) {
  check_file_name(config);
  std::vector<std::string> unknown;
  for (const auto& [key, value] : config.object().items()) {
    if (is_read(key, family) || is_known_harmless(key) || key == "transformers_weights") continue;
    if (const char* of = meant_by(key)) {
      check_synonym(config, key, of, shape);
      continue;
    }
    // Qwen2 has the biases of q, k and v always.
    if (family.layer.attention_bias == AttentionBias::qkv && key.ends_with("qkv_bias") &&
        value == true) {
      continue;
    }
    const Foreign* foreign = foreign_of(key);
    if (foreign == nullptr) {
      if (!is_neutral(value, Neutral::off, shape.head_dim)) unknown.push_back(key);
    } else if (!is_neutral(value, foreign->neutral, shape.head_dim)) {
      config.fail(shown_key(key) + " is " + shown(value) + ", with which a " + family.name +
                  " here does not compute: only null and " + wanted(foreign->neutral) +
                  " are supported");
    }
  }
  return unknown;
}

}  // namespace tovamill
