// Families of models as rows of tables (family.cc, family_gguf.cc): the names that configurations
// call one by, what its layers are, and how its keys say what differs between them. A family that
// is put together from what is here is a row; what it has of its own is a rule (layer_rules.h) or a
// table of tensor names (tensor_names.h).
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "engine/model/config_reader.h"
#include "engine/model/model_config.h"
#include "engine/model/tensor_names.h"

namespace tovamill {

// Sets what a configuration says of a model whose shape.layers hold what all have in common. Throws
// BadData.
using FamilyRule = void (*)(const ConfigReader& config, ModelConfig& model);

struct Family {
  const char* name;          // model_type of config.json, general.architecture of GGUF
  const char* class_name;    // the one of config.json's `architectures` whose weights are `tensors`
  LayerShape layer = {};     // what its layers are where no key says otherwise; sizes are of keys
  FamilyRule rules[6] = {};  // in this order
  const TensorNames* tensors = nullptr;
  const char* reads = "";  // keys of config.json that only some families read, by blanks
  NormKind norm = NormKind::rms;
  bool norm_bias = false;
  float norm_offset = 0;        // ModelConfig's
  bool interleaved_qk = false;  // RotaryLayout::interleaved
  bool may_be_partial = false;  // a part of each head may be rotated
  double rotary_part = 1;       // the part where no key says it
  // Tables of their own for layers with a window (shape.ropes[1]).
  bool ropes_by_layer_type = false;
  double local_rope_theta = 10'000;       // 0: that of the others
  const char* rope_reads = "";            // keys of rope_parameters that a rule reads, or nothing
  const char* rope_parameters = nullptr;  // what they are where config.json has none, as JSON
  // What is meant where config.json is silent.
  double rope_theta = 10'000;
  std::int32_t n_heads = 0, vocab_size = 0, trained_context = 0;  // 0: must be there
  std::int32_t head_dim = 0;                                      // 0: hidden_size / heads
  std::int32_t n_kv_heads = 0;                                    // 0: as many as heads
  bool tied_head = false;
  bool layers_may_differ = false;  // in their heads and in their intermediate sizes
  double norm_eps = 1e-6;
  // Its own names for what others call otherwise.
  const char* norm_eps_key = "rms_norm_eps";
  const char* activation_key = "hidden_act";
  const char* intermediate_key = "intermediate_size";
  // Of GGUF files.
  bool has_rope_freqs = false;    // the tensor of Llama 3's divisors
  bool has_rope_factors = false;  // the tensors of LongRoPE's divisors
};

// A model of texts and pictures, whose part for texts, text_config, is of a family; its tensors
// have a prefix, and those of other parts are passed over.
struct MultimodalModel {
  const char *name, *class_name;
  const char* text_family;  // where text_config does not say it
};

std::span<const Family> hf_families();
std::span<const MultimodalModel> multimodal_models();
std::span<const Family> gguf_families();
// Their names for messages: "llama, mistral and qwen2".
std::string names_of(std::span<const Family> families);

void apply_rules(const Family& family, const ConfigReader& config, ModelConfig& model);

}  // namespace tovamill
