#include "engine/model/layer_step.h"

#include <algorithm>

namespace tovamill {
namespace {

void normalize(Backend& backend, bool has_norm, const NormWeights& weights, LayerBuffers& rows) {
  if (has_norm) return backend.norm(*rows.hidden, weights, *rows.normed);
  backend.convert(*rows.hidden, *rows.normed);
}

// to += x W^T + b, normalised where the layer has norms behind.
void add_projected(Backend& backend, const LayerShape& shape, const Buffer& x, const Matrix& w,
                   const NormWeights& post_norm, LayerBuffers& rows, Buffer& to) {
  if (!shape.post_norm) return backend.project_add(x, w, to);
  backend.project(x, w, *rows.projected);
  backend.norm_add(*rows.projected, post_norm, to);
}

}  // namespace

LayerBuffers::LayerBuffers(const ModelShape& shape, Device& device, std::int32_t max_rows) {
  const auto make = [&](std::int32_t n_cols, BufferType type) {
    n_bytes += static_cast<std::uint64_t>(max_rows) * static_cast<std::uint64_t>(n_cols) * 4;
    return device.make_buffer(max_rows, n_cols, type);
  };
  hidden = make(shape.hidden_size, BufferType::full);
  normed = make(shape.hidden_size, BufferType::compute);
  qkv = make(shape.q_size() + 2 * shape.kv_size(), BufferType::full);
  attended = make(shape.q_size(), BufferType::compute);
  gated = make(shape.intermediate_size, BufferType::compute);
  const auto has_post_norm = [](const LayerShape& layer) { return layer.post_norm; };
  if (std::any_of(shape.layers.begin(), shape.layers.end(), has_post_norm))
    projected = make(shape.hidden_size, BufferType::full);
}

void prepare_attention(Backend& backend, const LayerShape& shape, const Layer& layer,
                       LayerBuffers& rows) {
  normalize(backend, shape.pre_norm, layer.attention_norm, rows);
}

void attend(Backend& backend, std::int32_t index, const Layer& layer, LayerBuffers& rows,
            std::span<BlockEvents> events) {
  backend.project(*rows.normed, *layer.attention.qkv, *rows.qkv);
  backend.attend(index, layer.attention, *rows.qkv, *rows.attended, events);
}

void add_attention(Backend& backend, const LayerShape& shape, const Layer& layer,
                   LayerBuffers& rows, Buffer& to) {
  add_projected(backend, shape, *rows.attended, *layer.o, layer.attention_post_norm, rows, to);
}

void add_feed_forward(Backend& backend, const LayerShape& shape, const Layer& layer,
                      LayerBuffers& rows) {
  if (!shape.parallel) normalize(backend, shape.pre_norm, layer.ffn_norm, rows);
  if (shape.gated) {
    backend.project_gated(*rows.normed, *layer.gate_up, shape.activation, *rows.gated);
  } else {
    backend.project_activated(*rows.normed, *layer.gate_up, shape.activation, layer.xielu,
                              *rows.gated);
  }
  add_projected(backend, shape, *rows.gated, *layer.down, layer.ffn_post_norm, rows, *rows.hidden);
}

}  // namespace tovamill
