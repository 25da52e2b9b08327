#include "engine/model/layer_step.h"

#include <algorithm>
#include <cmath>

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

LayerBuffers::Attention& with_heads(std::vector<LayerBuffers::Attention>& attention,
                                    const LayerHeads& heads) {
  for (LayerBuffers::Attention& a : attention) {
    if (a.heads == heads) return a;
  }
  return attention.emplace_back(LayerBuffers::Attention{.heads = heads});
}

}  // namespace

LayerBuffers::Attention& LayerBuffers::of(const LayerHeads& heads) {
  return with_heads(attention, heads);
}

LayerBuffers::LayerBuffers(const ModelShape& shape, Device& device, std::int32_t max_rows) {
  const auto make = [&](std::int32_t n_cols, BufferType type) {
    n_bytes += static_cast<std::uint64_t>(max_rows) * static_cast<std::uint64_t>(n_cols) * 4;
    return device.make_buffer(max_rows, n_cols, type);
  };
  hidden = make(shape.hidden_size, BufferType::full);
  normed = make(shape.hidden_size, BufferType::compute);
  for (std::int32_t l = 0; l < shape.n_layers; ++l) {
    const LayerShape& layer = shape.layer(l);
    Attention& of_heads = with_heads(attention, shape.heads(l));
    const LayerHeads& heads = of_heads.heads;
    if (!of_heads.qkv) of_heads.qkv = make(heads.qkv_size(), BufferType::full);
    if (!of_heads.attended) of_heads.attended = make(heads.q_size(), BufferType::compute);
    if (layer.kv_source != kOwnKv) {
      if (!of_heads.q) of_heads.q = make(heads.q_size(), BufferType::full);
      std::unique_ptr<Buffer>& kv = shared_kv[layer.kv_source];
      if (!kv) kv = make(2 * heads.kv_size(), BufferType::full);
    }
    const std::int32_t inner = shape.inner_size(layer);
    if (inner > 0 && !gated.contains(inner)) gated[inner] = make(inner, BufferType::compute);
  }
  if (shape.per_layer_size > 0) {
    const std::int32_t n = static_cast<std::int32_t>(shape.layers.size()) * shape.per_layer_size;
    per_layer = make(n, BufferType::full);
    per_layer_projected = make(n, BufferType::full);
    layer_input = make(shape.per_layer_size, BufferType::compute);
  }
  const auto is_projected = [](const LayerShape& layer) {
    return layer.post_norm || layer.experts.has_shared_gate;
  };
  if (shape.per_layer_size > 0 ||
      std::any_of(shape.layers.begin(), shape.layers.end(), is_projected))
    projected = make(shape.hidden_size, BufferType::full);
}

void prepare_attention(Backend& backend, const LayerShape& shape, const Layer& layer,
                       LayerBuffers& rows) {
  normalize(backend, shape.pre_norm, layer.attention_norm, rows);
}

void attend(Backend& backend, const ModelShape& shape, std::int32_t index, const Layer& layer,
            LayerBuffers& rows, std::span<BlockEvents> events) {
  LayerBuffers::Attention& a = rows.of(shape.heads(index));
  const std::int32_t q = a.heads.q_size(), kv = 2 * a.heads.kv_size();
  const std::int32_t source = shape.layer(index).kv_source;
  if (source == kOwnKv) {
    backend.project(*rows.normed, *layer.attention.qkv, *a.qkv);
    const auto shared = rows.shared_kv.find(shape.first_layer + index);
    if (shared != rows.shared_kv.end()) backend.copy_columns(*a.qkv, q, *shared->second, 0, kv);
  } else {
    backend.project(*rows.normed, *layer.attention.qkv, *a.q);
    backend.copy_columns(*a.q, 0, *a.qkv, 0, q);
    backend.copy_columns(*rows.shared_kv.at(source), 0, *a.qkv, q, kv);
  }
  backend.attend(index, layer.attention, *a.qkv, *a.attended, events);
}

void add_attention(Backend& backend, const ModelShape& shape, std::int32_t index,
                   const Layer& layer, LayerBuffers& rows, Buffer& to) {
  add_projected(backend, shape.layer(index), *rows.of(shape.heads(index)).attended, *layer.o,
                layer.attention_post_norm, rows, to);
}

void add_feed_forward(Backend& backend, const LayerShape& shape, const Layer& layer,
                      LayerBuffers& rows) {
  if (!shape.parallel) normalize(backend, shape.pre_norm, layer.ffn_norm, rows);
  if (shape.experts.n_experts > 0)
    backend.add_experts(*rows.normed, *layer.router, *layer.experts, shape, *rows.hidden);
  if (layer.down == nullptr) return;
  Buffer& gated = *rows.gated.at(layer.down->n_in());
  if (shape.gated) {
    backend.project_gated(*rows.normed, *layer.gate_up, shape.activation, gated);
  } else {
    backend.project_activated(*rows.normed, *layer.gate_up, shape.activation, layer.xielu, gated);
  }
  if (shape.experts.has_shared_gate) {
    backend.project(gated, *layer.down, *rows.projected);
    return backend.add_weighted(*rows.projected, *rows.normed, layer.shared_gate, *rows.hidden);
  }
  add_projected(backend, shape, gated, *layer.down, layer.ffn_post_norm, rows, *rows.hidden);
}

void prepare_layer_inputs(Backend& backend, const Model& model, std::span<const std::int32_t> ids,
                          LayerBuffers& rows) {
  if (!rows.per_layer) return;
  const auto size = static_cast<float>(model.config.shape.per_layer_size);
  backend.embed(ids, model.per_layer_embedding, std::sqrt(size / 2.0f), *rows.per_layer);
  backend.convert(*rows.hidden, *rows.normed);
  backend.project(*rows.normed, *model.per_layer_projection, *rows.per_layer_projected);
  backend.norm_add(*rows.per_layer_projected, model.per_layer_norm, *rows.per_layer);
}

void add_layer_input(Backend& backend, const ModelShape& shape, std::int32_t index,
                     const Layer& layer, LayerBuffers& rows) {
  if (layer.input_gate) {
    backend.convert(*rows.hidden, *rows.normed);
    backend.project_activated(*rows.normed, *layer.input_gate, shape.layer(index).activation, {},
                              *rows.layer_input);
    backend.multiply_columns(*rows.layer_input, *rows.per_layer,
                             (shape.first_layer + index) * shape.per_layer_size);
    backend.project(*rows.layer_input, *layer.input_projection, *rows.projected);
    backend.norm_add(*rows.projected, layer.input_norm, *rows.hidden);
  }
  if (layer.output_scale != 1) backend.scale(*rows.hidden, layer.output_scale);
}

}  // namespace tovamill
