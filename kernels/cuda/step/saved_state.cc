// A state of a GPU as bytes, behind the common head (kernels/saved_state.h): i64 tokens held when
// the current RoPE segment began (in-state positions), then of each layer
//   where layers differ, i64 tokens held and i64 CudaState::n_grown
//   unrotated keys (where they are kept), rotated keys, values: (n_slots, head_dim) of a KV head
//   after another, in the compute type
//   positions i32, then the policy's numbers f32: (n_slots) of an eviction group after another
//   where the layer merges, its MergeView as it lies in memory
// Slots stand in their order: later sums run over them in it.
#include "kernels/saved_state.h"

#include <algorithm>
#include <cstring>

#include "kernels/cuda/step/backend.h"

namespace tovamill::cuda {
namespace {

StateKind kind_of(ComputeType type) {
  switch (type) {
    case ComputeType::f32:
      return StateKind::cuda_f32;
    case ComputeType::bf16:
      return StateKind::cuda_bf16;
  }
  throw Error(ExitCode::internal, "a state is kept in a type out of range");
}

std::uint64_t slot_bytes(const StateLayout& layout, std::int64_t n_slots) {
  const std::int64_t rows = layout.n_kv_heads * layout.n_head_arrays() * n_slots * layout.head_dim *
                            layout.element_bytes,
                     numbers = layout.n_eviction_groups * layout.n_slot_arrays() * n_slots * 4;
  return static_cast<std::uint64_t>(rows + numbers);
}

std::uint64_t layer_body(const AttentionModel& model, std::int32_t layer, std::int64_t n_slots) {
  const AttentionShape& shape = model.shape(layer);
  return slot_bytes(model.layout(layer), n_slots) +
         static_cast<std::uint64_t>(model.layout(layer).merge_bytes(shape.n_heads, shape.n_merged));
}

// Copies between the arrays of a layer, cut to n_slots slots, and the dense bytes of one.
// `to_host` or from it.
void copy_layer(const AttentionModel& model, const CudaState& state, std::int32_t layer,
                std::int64_t n_slots, std::byte* dense, bool to_host, const Stream& stream) {
  const StateLayout& layout = model.layout(layer);
  const AttentionShape& shape = model.shape(layer);
  const std::int64_t capacity = model.layer_capacity(layer, state.capacity);
  unsigned char* at = state.data() + model.layer_offset(layer, state.capacity);
  const auto copy = [&](std::int64_t pitch, std::int64_t width, std::int64_t n) {
    if (width > 0) {
      void* to = to_host ? static_cast<void*>(dense) : static_cast<void*>(at);
      const void* from = to_host ? static_cast<const void*>(at) : static_cast<const void*>(dense);
      TOVAMILL_CUDA(cudaMemcpy2DAsync(to, static_cast<std::size_t>(to_host ? width : pitch), from,
                                      static_cast<std::size_t>(to_host ? pitch : width),
                                      static_cast<std::size_t>(width), static_cast<std::size_t>(n),
                                      to_host ? cudaMemcpyDeviceToHost : cudaMemcpyHostToDevice,
                                      stream.get()));
    }
    at += pitch * n;
    dense += width * n;
  };
  copy(layout.head_bytes(capacity), n_slots * layout.head_dim * layout.element_bytes,
       layout.n_kv_heads * layout.n_head_arrays());
  copy(layout.slot_array_bytes(capacity), n_slots * 4,
       layout.n_eviction_groups * layout.n_slot_arrays());
  const std::int64_t merging = layout.merge_bytes(shape.n_heads, shape.n_merged);
  copy(merging, merging, 1);
}

struct SavedLayer {
  std::int64_t n_held = 0, n_grown = 0, n_slots = 0;
  PinnedMemory dense = {};  // as copy_layer takes it
};

SavedLayer read_layer(StateReader& reader, const AttentionModel& model, std::int32_t l,
                      const StateCounts& counts) {
  const LayerPlaces places = model.places(l);
  const StateLayout& layout = model.layout(l);
  SavedLayer layer{.n_held = counts.n_held};
  if (model.places_differ()) {
    reader.number<std::uint64_t>();
    layer.n_held = reader.number<std::int64_t>();
    layer.n_grown = reader.number<std::int64_t>();
    check_layer_count(model.cache(), places, counts, layer.n_held);
    if (layer.n_grown < 0 || layer.n_grown > layer.n_held) reader.fail("a layer's size is wrong");
  }
  layer.n_slots = layer.n_held + places.merged;
  const auto n_bytes = static_cast<std::size_t>(layer_body(model, l, layer.n_slots));
  reader.expect_at_least(n_bytes);
  layer.dense = PinnedMemory(n_bytes);
  reader.bytes({layer.dense.data(), n_bytes});
  const std::byte* positions =
      layer.dense.data() +
      static_cast<std::size_t>(layout.n_kv_heads * layout.n_head_arrays() * layer.n_slots *
                               layout.head_dim * layout.element_bytes);
  for (std::int32_t g = 0; g < layout.n_eviction_groups; ++g) {
    std::vector<std::int32_t> held(static_cast<std::size_t>(layer.n_slots));
    if (!held.empty())
      std::memcpy(
          held.data(),
          positions + static_cast<std::size_t>(g * layout.n_slot_arrays() * layer.n_slots * 4),
          held.size() * sizeof(std::int32_t));
    held.erase(held.begin(), held.begin() + places.merged);
    check_positions(model.cache(), places, counts, std::move(held));
  }
  return layer;
}

}  // namespace

void CudaBackend::save(const StreamState& state, std::vector<std::byte>& out) const {
  const auto& s = static_cast<const CudaState&>(state);
  const std::int32_t n_layers = options_.shape.n_layers;
  StateWriter writer(out);
  write_state_head(writer, kind_of(type_), options_.shape, options_.cache,
                   {.n_tokens = s.n_tokens,
                    .n_held = saved_n_held(options_.cache, s.n_tokens, s.n_held),
                    .pin = s.pin});
  writer.number(s.segment_base);
  std::size_t n_bytes = 0;
  for (std::int32_t l = 0; l < n_layers; ++l)
    n_bytes += layer_body(model_, l, model_.n_slots(s, l));
  const PinnedMemory dense(n_bytes);
  const Stream& stream = states_->after(s);
  std::size_t at = 0;
  for (std::int32_t l = 0; l < n_layers; ++l) {
    copy_layer(model_, s, l, model_.n_slots(s, l), dense.data() + at, true, stream);
    at += layer_body(model_, l, model_.n_slots(s, l));
  }
  stream.synchronize();
  at = 0;
  for (std::int32_t l = 0; l < n_layers; ++l) {
    write_layer(out, options_.cache, [&](StateWriter& to) {
      if (layers_differ(options_.cache)) {
        to.number(model_.held_in(l, s.n_held, s.n_grown));
        to.number(s.n_grown);
      }
      const std::size_t n = layer_body(model_, l, model_.n_slots(s, l));
      to.bytes({dense.data() + at, n});
      at += n;
    });
  }
}

std::int64_t CudaBackend::load(StreamState& state, std::span<const std::byte> bytes) {
  auto& s = static_cast<CudaState&>(state);
  reset(s);
  StateReader reader(bytes);
  const std::int32_t n_layers = options_.shape.n_layers;
  const StateCounts counts =
      read_state_head(reader, kind_of(type_), options_.shape, options_.cache);
  const auto segment_base = reader.number<std::int64_t>();
  if (segment_base < 0 || segment_base > counts.n_tokens)
    reader.fail("the begin of a RoPE segment is impossible");
  std::vector<SavedLayer> layers;
  std::int64_t most_slots = 0, most_held = 0;
  bool is_over = false;
  for (std::int32_t l = 0; l < n_layers; ++l) {
    layers.push_back(read_layer(reader, model_, l, counts));
    most_slots = std::max(most_slots, layers.back().n_slots);
    most_held = std::max(most_held, layers.back().n_held);
    is_over = is_over || layers.back().n_slots > model_.places(l).size;
    if (layers.back().n_grown != layers.front().n_grown) reader.fail("a layer's size is wrong");
  }
  reader.expect_left(0);
  states_->resize(s, std::max(s.capacity, model_.capacity(most_slots, is_over)));
  const Stream& stream = states_->after(s);
  for (std::int32_t l = 0; l < n_layers; ++l) {
    const auto i = static_cast<std::size_t>(l);
    copy_layer(model_, s, l, layers[i].n_slots, layers[i].dense.data(), false, stream);
  }
  stream.synchronize();
  s.n_held = most_held;
  s.n_grown = layers.front().n_grown;
  s.n_tokens = counts.n_tokens;
  s.rotation = counts.n_tokens > 0 ? model_.wanted_rotation(counts.n_tokens - 1) : 0;
  s.segment_base = segment_base;
  s.pin = counts.pin;
  return counts.n_tokens;
}

}  // namespace tovamill::cuda
