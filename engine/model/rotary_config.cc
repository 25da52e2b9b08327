#include "engine/model/rotary_config.h"

#include <cmath>

namespace tovamill {

namespace {

// Of the layers that rotate by a table.
std::int32_t head_dim_of(const ModelShape& shape, std::int32_t rope) {
  for (const LayerShape& layer : shape.layers) {
    if (layer.rope == rope && layer.head_dim > 0) return layer.head_dim;
  }
  return shape.head_dim;
}

}  // namespace

// A factor of the rotated dimensions is one of the scores where these are all, else one of the rows
// of Q and K.
void set_ropes(const std::vector<RotaryTable>& ropes, std::int32_t rotary_dim, ModelConfig& model) {
  ModelShape& shape = model.shape;
  const std::int32_t d = shape.head_dim;
  shape.ropes.clear();
  for (std::size_t r = 0; r < ropes.size(); ++r) {
    // Layers of other heads have tables of their own, and rotate whole heads.
    const std::int32_t own = head_dim_of(shape, static_cast<std::int32_t>(r));
    shape.ropes.push_back(
        rotary_frequencies(ropes[r].theta, own == d ? rotary_dim : own, own, ropes[r].scaling));
  }
  const RotaryScaling& first = ropes.front().scaling;
  if (first.kind == RotaryScaling::Kind::longrope) {
    RotaryScaling within = first;
    within.divisors = first.short_divisors;
    model.long_rope.emplace();
    *model.long_rope = {first.original_context,
                        {rotary_frequencies(ropes.front().theta, rotary_dim, d, within)}};
  }
  if (rotary_dim < d) {
    model.rotary.rotary_dim = rotary_dim;
    model.rotary.factor = static_cast<float>(first.attention_factor);
    return;
  }
  // Where norms stand behind the rotation they leave nothing of it but in their eps.
  if (shape.layers.front().qk_norm == QkNorm::rotated_heads)
    shape.qk_norm_eps /= static_cast<float>(std::pow(ropes.front().scaling.attention_factor, 2));
  for (LayerShape& layer : shape.layers) {
    if (layer.rope == kNoRope || layer.qk_norm == QkNorm::rotated_heads) continue;
    const double factor = ropes.at(static_cast<std::size_t>(layer.rope)).scaling.attention_factor;
    if (factor == 1) continue;
    const double plain = layer.attention_scale != 0 ? layer.attention_scale : 1 / std::sqrt(d);
    layer.attention_scale = plain * factor * factor;
  }
}

void choose_ropes(std::int64_t most_positions, ModelConfig& model) {
  if (!model.long_rope || static_cast<double>(most_positions) > model.long_rope->context) return;
  model.shape.ropes = model.long_rope->short_ropes;
  model.long_rope->is_short = true;
}

}  // namespace tovamill
