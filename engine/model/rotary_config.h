// Rotary tables by what the configuration of a model says.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "engine/model/config_reader.h"
#include "engine/model/family.h"
#include "engine/model/model_config.h"
#include "engine/model/rotary.h"

namespace tovamill {

// Sets shape.ropes, what of a head is rotated, and the scale of the scores where rotated queries
// and keys are multiplied with a factor; after the layers, which choose among the tables. By
// config.json, of which there are two spellings: rope_theta with rope_scaling, and the newer
// rope_parameters that holds both, for all layers or (Family::ropes_by_layer_type) for each kind of
// them. Throws BadData naming a scaling that is not supported, a key that the scaling does not
// have, two keys that contradict each other.
void set_ropes_of_hf(const ConfigReader& config, const Family& family, ModelConfig& model);

// The same by GGUF metadata and the file's tensors of divisors. Throws BadData, also where the
// family has none and they do not hold ones.
void set_ropes_of_gguf(const ConfigReader& config, const Family& family, const FindTensor& find,
                       ModelConfig& model);

struct RotaryTable {
  double theta = 10'000;
  RotaryScaling scaling = {};
  bool operator==(const RotaryTable&) const = default;
};
// Sets the tables of `ropes`, by which layers rotate `rotary_dim` dimensions of each head.
void set_ropes(const std::vector<RotaryTable>& ropes, std::int32_t rotary_dim, ModelConfig& model);

// Takes LongRoPE's short tables where no rotary position of a stream reaches beyond their context,
// as transformers takes them for texts within it: streams of unknown length take the long ones,
// which hold for all lengths, since keys once rotated stay so.
void choose_ropes(std::int64_t most_positions, ModelConfig& model);

}  // namespace tovamill
