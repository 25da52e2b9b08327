// How the layers of a model are cut into stages, one a rank (--stages).
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "engine/model/model.h"

namespace tovamill {

// So many ranges of one layer at least, the costliest as cheap as can be: the head counts as layers
// by its parameters. Throws Error(usage) where there are more stages than layers.
std::vector<LayerRange> cut_layers(const ModelShape& shape, std::int32_t n_stages);

// The shape of some of the layers, for their backend.
ModelShape shape_of(const ModelShape& whole, const LayerRange& range);

// "layers 0-15 | 16-29 + head".
std::string text_of(const std::vector<LayerRange>& stages);

// Ranks that compute, from `first_worker` on, in groups of `n_stages`. Throws Error(usage) where
// some would be left over.
void check_groups(int n_ranks, int first_worker, std::int32_t n_stages);

}  // namespace tovamill
