// The sizes that both formats state, each under its own names, and the check of what the layers
// come to.
#pragma once

#include <vector>

#include "engine/model/config_reader.h"
#include "engine/model/family.h"
#include "kernels/types/model_shape.h"

namespace tovamill {

// Names of the fields of a format.
struct ConfigKeys {
  const char *n_layers, *hidden_size, *intermediate_size, *n_heads, *n_kv_heads, *trained_context;
  const char* activation;  // null where the format has none
  const char* mlp_bias;    // the same
  bool has_arrays;         // of layers: sizes may be arrays with an entry for each of them
};

// Reads all of ConfigKeys but the switches. The layers are those of the family, with their sizes
// except head_dim. Throws BadData.
void read_sizes(const ConfigReader& config, const ConfigKeys& keys, const Family& family,
                ModelShape& shape);

// Throws BadData, naming the field, where a layer is what no backend computes yet, its heads cannot
// be shared out among the key-value heads or their size cannot be rotated. What all layers have
// in common then stands in `shape`, too.
void check_layers(const ConfigReader& config, const ConfigKeys& keys, const Family& family,
                  ModelShape& shape);

}  // namespace tovamill
