// The operations of one layer in order, as its shape says (kernels/types/layer_shape.h).
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <span>
#include <vector>

#include "engine/model/model.h"
#include "kernels/backend.h"

namespace tovamill {

// Rows of a step on their way through the layers.
struct LayerBuffers {
  // For steps of `max_rows` rows.
  LayerBuffers(const ModelShape& shape, Device& device, std::int32_t max_rows);

  std::unique_ptr<Buffer> hidden;  // (max_rows, hidden_size)
  std::unique_ptr<Buffer> normed;  // (max_rows, hidden_size)
  // What attention reads and gives, of each kind of heads that layers have.
  struct Attention {
    LayerHeads heads = {};
    std::unique_ptr<Buffer> qkv = {};       // (max_rows, q_size + 2 kv_size)
    std::unique_ptr<Buffer> attended = {};  // (max_rows, q_size)
    std::unique_ptr<Buffer> q = {};  // (max_rows, q_size), where others have the keys and values
  };
  std::vector<Attention> attention;
  // Keys and values of the layers that others share, by layer of the whole model: (max_rows, 2
  // kv_size).
  std::map<std::int32_t, std::unique_ptr<Buffer>> shared_kv;
  std::map<std::int32_t, std::unique_ptr<Buffer>> gated;  // by intermediate_size: (max_rows, it)
  // Of per-layer embeddings: (max_rows, n_layers * per_layer_size) of all layers, twice; (max_rows,
  // per_layer_size).
  std::unique_ptr<Buffer> per_layer, per_layer_projected, layer_input;
  // (max_rows, hidden_size), where a layer has norms behind or a gate of a shared expert
  std::unique_ptr<Buffer> projected;
  std::uint64_t n_bytes = 0;  // of float32

  Attention& of(const LayerHeads& heads);
};

// normed = what attention reads of the hidden rows.
void prepare_attention(Backend& backend, const LayerShape& shape, const Layer& layer,
                       LayerBuffers& rows);
// attended, from normed; `index` counts the backend's layers, those of `shape`.
void attend(Backend& backend, const ModelShape& shape, std::int32_t index, const Layer& layer,
            LayerBuffers& rows, std::span<BlockEvents> events);
// to += what attention gives, from attended.
void add_attention(Backend& backend, const ModelShape& shape, std::int32_t index,
                   const Layer& layer, LayerBuffers& rows, Buffer& to);
// per_layer = what layers add of embeddings of their own; hidden is the embedding.
void prepare_layer_inputs(Backend& backend, const Model& model, std::span<const std::int32_t> ids,
                          LayerBuffers& rows);
// hidden = (hidden + what the layer adds of it) * its scale.
void add_layer_input(Backend& backend, const ModelShape& shape, std::int32_t index,
                     const Layer& layer, LayerBuffers& rows);
// hidden += what the feed-forward gives.
void add_feed_forward(Backend& backend, const LayerShape& shape, const Layer& layer,
                      LayerBuffers& rows);

}  // namespace tovamill
