// The operations of one layer in order, as its shape says (kernels/types/layer_shape.h).
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <span>

#include "engine/model/model.h"
#include "kernels/backend.h"

namespace tovamill {

// Rows of a step on their way through the layers.
struct LayerBuffers {
  // For steps of `max_rows` rows.
  LayerBuffers(const ModelShape& shape, Device& device, std::int32_t max_rows);

  std::unique_ptr<Buffer> hidden;    // (max_rows, hidden_size)
  std::unique_ptr<Buffer> normed;    // (max_rows, hidden_size)
  std::unique_ptr<Buffer> qkv;       // (max_rows, q_size + 2 kv_size)
  std::unique_ptr<Buffer> attended;  // (max_rows, q_size)
  // (max_rows, intermediate_size), one for each such size of a layer
  std::map<std::int32_t, std::unique_ptr<Buffer>> gated;
  // (max_rows, hidden_size), where a layer has norms behind or a gate of a shared expert
  std::unique_ptr<Buffer> projected;
  std::uint64_t n_bytes = 0;  // of float32
};

// normed = what attention reads of the hidden rows.
void prepare_attention(Backend& backend, const LayerShape& shape, const Layer& layer,
                       LayerBuffers& rows);
// attended, from normed; `index` counts the backend's layers.
void attend(Backend& backend, std::int32_t index, const Layer& layer, LayerBuffers& rows,
            std::span<BlockEvents> events);
// to += what attention gives, from attended.
void add_attention(Backend& backend, const LayerShape& shape, const Layer& layer,
                   LayerBuffers& rows, Buffer& to);
// hidden += what the feed-forward gives.
void add_feed_forward(Backend& backend, const LayerShape& shape, const Layer& layer,
                      LayerBuffers& rows);

}  // namespace tovamill
