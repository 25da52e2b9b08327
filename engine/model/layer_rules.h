// How keys of a configuration say what its layers are: each a rule (Family::rules), with the
// meaning that transformers or llama.cpp gives the key.
#pragma once

#include <vector>

#include "engine/model/config_reader.h"
#include "kernels/types/layer_shape.h"

namespace tovamill {

// attention_bias: of q, k, v and o.
void attention_bias_by_flag(const ConfigReader& config, std::vector<LayerShape>& layers);

// sliding_window of all layers; absent is 4,096, null none.
void windows_of_mistral(const ConfigReader& config, std::vector<LayerShape>& layers);

// sliding_window, if use_sliding_window: of the layers that layer_types names, else of those from
// max_window_layers on.
void windows_of_qwen(const ConfigReader& config, std::vector<LayerShape>& layers);

// attention.sliding_window of all layers.
void window_of_gguf(const ConfigReader& config, std::vector<LayerShape>& layers);

}  // namespace tovamill
