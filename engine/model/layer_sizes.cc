#include "engine/model/layer_sizes.h"

#include <algorithm>
#include <string>

namespace tovamill {
namespace {

struct Size {
  std::int32_t LayerShape::*place;
  const char* ConfigKeys::*key;
  Limits limits;
};

constexpr Size kIntermediate{&LayerShape::intermediate_size, &ConfigKeys::intermediate_size,
                             kIntermediateLimits};
constexpr Size kHeads{&LayerShape::n_heads, &ConfigKeys::n_heads, kHeadLimits};
constexpr Size kKvHeads{&LayerShape::n_kv_heads, &ConfigKeys::n_kv_heads, kHeadLimits};

// False where the field is absent.
bool read_size(const ConfigReader& config, const ConfigKeys& keys, const Size& size,
               std::vector<LayerShape>& layers) {
  const char* key = keys.*size.key;
  if (config.find(key) == nullptr) return false;
  const std::vector<std::int32_t> values =
      keys.has_arrays ? config.integers(key, size.limits, layers.size())
                      : std::vector(layers.size(), config.integer(key, size.limits));
  for (std::size_t l = 0; l < layers.size(); ++l) layers[l].*size.place = values[l];
  return true;
}

void need_size(const ConfigReader& config, const ConfigKeys& keys, const Size& size,
               std::vector<LayerShape>& layers) {
  if (!read_size(config, keys, size, layers))
    config.fail(config.name(keys.*size.key) + " is missing");
}

// What nearly all families have alike in all layers.
void check_uniform(const ConfigReader& config, const ConfigKeys& keys,
                   const std::vector<LayerShape>& layers) {
  for (const Size& size : {kHeads, kKvHeads}) {
    for (const LayerShape& layer : layers) {
      if (layer.*size.place == layers.front().*size.place) continue;
      config.fail(config.name(keys.*size.key) + " differs between layers, which is not supported");
    }
  }
  for (const LayerShape& layer : layers) {
    if (layer.head_dim != layers.front().head_dim)
      config.fail("the head size differs between layers, which is not supported");
  }
}

void check_heads(const ConfigReader& config, const LayerShape& layer) {
  if (layer.n_heads % layer.n_kv_heads != 0) {
    config.fail(std::to_string(layer.n_heads) + " attention heads are not a multiple of " +
                std::to_string(layer.n_kv_heads) + " key-value heads");
  }
  if (layer.head_dim % 2 != 0 || layer.head_dim < kHeadDimLimits.min ||
      layer.head_dim > kHeadDimLimits.max) {
    config.fail("the head size " + std::to_string(layer.head_dim) +
                " is not an even number of 2 to 512");
  }
}

void check_kind(const ConfigReader& config, const ConfigKeys& keys, const LayerShape& layer) {
  if (keys.mlp_bias != nullptr && !layer.mlp_bias && config.flag(keys.mlp_bias, false))
    config.fail(std::string(keys.mlp_bias) +
                " is true, which is not supported: the family has no such biases");
}

}  // namespace

void read_sizes(const ConfigReader& config, const ConfigKeys& keys, const Family& family,
                ModelShape& shape) {
  shape.n_layers = config.integer(keys.n_layers, kLayerLimits);
  shape.hidden_size = config.integer(keys.hidden_size, kWidthLimits);
  const auto context = config.optional_integer(keys.trained_context, kContextLimits);
  if (!context && family.trained_context == 0)
    config.fail(config.name(keys.trained_context) + " is missing");
  shape.trained_context = context.value_or(family.trained_context);
  shape.layers.assign(static_cast<std::size_t>(shape.n_layers), family.layer);
  need_size(config, keys, kIntermediate, shape.layers);
  for (LayerShape& layer : shape.layers) layer.n_heads = family.n_heads;
  if (!read_size(config, keys, kHeads, shape.layers) && family.n_heads == 0)
    config.fail(config.name(keys.n_heads) + " is missing");
  if (read_size(config, keys, kKvHeads, shape.layers)) return;
  // null is as many as heads, absent the family's number.
  const bool by_family = family.n_kv_heads > 0 && !config.has(keys.n_kv_heads);
  for (LayerShape& layer : shape.layers)
    layer.n_kv_heads = by_family ? family.n_kv_heads : layer.n_heads;
}

void check_layers(const ConfigReader& config, const ConfigKeys& keys, const Family& family,
                  ModelShape& shape) {
  if (!family.layers_may_differ) check_uniform(config, keys, shape.layers);
  for (const LayerShape& layer : shape.layers) {
    check_heads(config, layer);
    check_kind(config, keys, layer);
  }
  for (const LayerShape& layer : shape.layers) {
    shape.intermediate_size = std::max(shape.intermediate_size, layer.intermediate_size);
    shape.n_heads = std::max(shape.n_heads, layer.n_heads);
    shape.n_kv_heads = std::max(shape.n_kv_heads, layer.n_kv_heads);
    shape.head_dim = std::max(shape.head_dim, layer.head_dim);
  }
}

}  // namespace tovamill
