// How much bounded states change what each layer's attention gives, each layer for itself: the
// stream through the layers is that of whole states.
#pragma once

#include <cstdint>
#include <functional>
#include <span>
#include <vector>

#include "engine/model/model.h"
#include "kernels/backend.h"

namespace tovamill {

struct AttentionErrorInput {
  std::span<const std::vector<std::int32_t>> texts;  // ids
  std::int32_t block = 0;          // tokens of a step; both kinds of backends take so many rows
  std::int64_t first_counted = 0;  // position: states fill before it
  std::function<void(std::int64_t n_tokens)> tell;  // after each step
};

// (n_layers, bounded.size()): the squared change of what a layer adds to the residual stream, over
// the squares of that stream before it, both summed over the counted tokens. `whole` keeps all
// tokens; `bounded` are beside it. Rows are compared in float32 on the host.
std::vector<std::vector<double>> attention_errors(const Model& model, Backend& whole,
                                                  std::span<Backend* const> bounded,
                                                  const AttentionErrorInput& input);

}  // namespace tovamill
