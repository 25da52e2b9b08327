// Rotary frequencies by what the configuration of a model says.
#pragma once

#include <optional>
#include <vector>

#include "engine/model/config_reader.h"
#include "engine/model/family.h"
#include "engine/model/rotary.h"

namespace tovamill {

// (head_dim / 2) by config.json. Two spellings: rope_theta with rope_scaling, and the newer
// rope_parameters that holds both. Throws BadData naming a scaling that is not supported, a key
// that the scaling does not have, two keys that contradict each other.
std::vector<double> rotary_of_hf(const ConfigReader& config, double default_theta, int head_dim);

// (head_dim / 2) by GGUF metadata; `rope_freqs` is the tensor of divisors (Llama 3), nullopt where
// the file has none. Throws BadData, also where the family has no such tensor and it does not hold
// ones.
std::vector<double> rotary_of_gguf(const ConfigReader& config, const Family& family, int head_dim,
                                   const std::optional<TensorView>& rope_freqs);

// What llama.cpp multiplies the rotated q and k with, each: rope.scaling.attn_factor.
double attention_factor_of_gguf(const ConfigReader& config);

}  // namespace tovamill
