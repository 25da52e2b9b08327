// How keys of a configuration say what its layers are: each a rule (Family::rules), with the
// meaning that transformers or llama.cpp gives the key.
#pragma once

#include <vector>

#include "engine/model/config_reader.h"
#include "kernels/types/layer_shape.h"

namespace tovamill {

// attention_bias: of q, k, v and o.
void attention_bias_by_flag(const ConfigReader& config, std::vector<LayerShape>& layers);

// attention_bias, which only other families have: refused where it is true.
void no_attention_bias(const ConfigReader& config, std::vector<LayerShape>& layers);

// layer_types, which only other families have: refused where a layer is not of full attention.
void no_layer_types(const ConfigReader& config, std::vector<LayerShape>& layers);

// sliding_window of all layers; absent is 4,096, null none.
void windows_of_mistral(const ConfigReader& config, std::vector<LayerShape>& layers);

// sliding_window, if use_sliding_window: of the layers that layer_types names, else of those from
// max_window_layers on.
void windows_of_qwen(const ConfigReader& config, std::vector<LayerShape>& layers);

// no_rope_layers: a 1 for each layer with rotation, a 0 for one without; where it is absent each
// no_rope_layer_interval-th layer is without.
void ropes_of_smollm3(const ConfigReader& config, std::vector<LayerShape>& layers);

// sliding_window, if use_sliding_window: of the layers that layer_types names, else of those
// without rotation.
void windows_of_smollm3(const ConfigReader& config, std::vector<LayerShape>& layers);

// GGUF does not say it: as ropes_of_smollm3 where config.json does not either.
void ropes_by_default_interval(const ConfigReader& config, std::vector<LayerShape>& layers);

// attention.sliding_window of all layers.
void window_of_gguf(const ConfigReader& config, std::vector<LayerShape>& layers);

// The same, which llama.cpp does not apply to the family: refused.
void no_window_of_gguf(const ConfigReader& config, std::vector<LayerShape>& layers);

}  // namespace tovamill
