// Families of models as rows of a table (family.cc): the names that configurations call one by,
// what its layers are, and how its keys say what differs between them. A family that is put
// together from what is here is a row; what it has of its own is a rule (layer_rules.h) or a table
// of tensor names (tensor_names.h).
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "engine/model/config_reader.h"
#include "engine/model/tensor_names.h"
#include "kernels/types/layer_shape.h"

namespace tovamill {

// Sets what a configuration says of each of the layers, which hold what all have in common.
// Throws BadData.
using LayerRule = void (*)(const ConfigReader& config, std::vector<LayerShape>& layers);

struct Family {
  const char* name;         // model_type of config.json, general.architecture of GGUF
  const char* class_name;   // the one of config.json's `architectures` whose weights are `tensors`
  LayerShape layer = {};    // what its layers are where no key says otherwise; sizes are of keys
  LayerRule rules[3] = {};  // in this order
  const TensorNames* tensors = nullptr;
  // What is meant where config.json is silent.
  double rope_theta = 10'000;
  std::int32_t head_dim = 0;    // 0: hidden_size / heads
  std::int32_t n_kv_heads = 0;  // 0: as many as heads
  bool tied_head = false;
  // Of GGUF files.
  bool interleaved_qk = false;  // ModelConfig's
  bool has_rope_freqs = false;  // the tensor of Llama 3's divisors
};

std::span<const Family> hf_families();
std::span<const Family> gguf_families();
// Their names for messages: "llama, mistral and qwen2".
std::string names_of(std::span<const Family> families);

// `n` layers of a family, by its rules.
void apply_rules(const Family& family, const ConfigReader& config, std::vector<LayerShape>& layers);

}  // namespace tovamill
