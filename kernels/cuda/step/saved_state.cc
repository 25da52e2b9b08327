// A state of a GPU as bytes, behind the common head (kernels/saved_state.h): i64 tokens held when
// the current RoPE segment began (in-state positions), then of each layer
//   unrotated keys (where they are kept), rotated keys, values: (n_held, head_dim) of a KV head
//   after another, in the compute type
//   positions i32, then the policy's numbers f32: (n_held) of an eviction group after another
// Slots stand in their order: later sums run over them in it.
#include "kernels/saved_state.h"

#include <algorithm>

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

std::uint64_t layer_body(const StateLayout& layout, std::int64_t n_held) {
  const std::int64_t rows = layout.n_kv_heads * layout.n_head_arrays() * n_held * layout.head_dim *
                            layout.element_bytes,
                     numbers = layout.n_eviction_groups * layout.n_slot_arrays() * n_held * 4;
  return static_cast<std::uint64_t>(rows + numbers);
}

// Copies between the arrays of a layer, cut to n_held slots, and the dense bytes of one.
// `to_host` or from it.
void copy_layer(const StateLayout& layout, const CudaState& state, std::int32_t layer,
                std::int64_t n_held, std::byte* dense, bool to_host, const Stream& stream) {
  unsigned char* at = state.data() + layer * layout.layer_bytes(state.capacity);
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
  copy(layout.head_bytes(state.capacity), n_held * layout.head_dim * layout.element_bytes,
       layout.n_kv_heads * layout.n_head_arrays());
  copy(layout.slot_array_bytes(state.capacity), n_held * 4,
       layout.n_eviction_groups * layout.n_slot_arrays());
}

}  // namespace

void CudaBackend::save(const StreamState& state, std::vector<std::byte>& out) const {
  const auto& s = static_cast<const CudaState&>(state);
  const StateLayout& layout = model_.layout();
  StateWriter writer(out);
  write_state_head(writer, kind_of(type_), options_.shape, options_.cache,
                   {.n_tokens = s.n_tokens, .n_held = s.n_held, .pin = s.pin});
  writer.number(s.segment_base);
  const auto each = static_cast<std::size_t>(layer_body(layout, s.n_held));
  const PinnedMemory dense(each * static_cast<std::size_t>(layout.n_layers));
  const Stream& stream = states_->after(s);
  for (std::int32_t l = 0; l < layout.n_layers; ++l)
    copy_layer(layout, s, l, s.n_held, dense.data() + static_cast<std::size_t>(l) * each, true,
               stream);
  stream.synchronize();
  writer.bytes({dense.data(), dense.size()});
}

std::int64_t CudaBackend::load(StreamState& state, std::span<const std::byte> bytes) {
  auto& s = static_cast<CudaState&>(state);
  reset(s);
  StateReader reader(bytes);
  const StateLayout& layout = model_.layout();
  const StateCounts counts =
      read_state_head(reader, kind_of(type_), options_.shape, options_.cache);
  const auto each = static_cast<std::size_t>(layer_body(layout, counts.n_held));
  const std::size_t n_bytes = each * static_cast<std::size_t>(layout.n_layers);
  reader.expect_left(sizeof(std::int64_t) + n_bytes);
  const auto segment_base = reader.number<std::int64_t>();
  if (segment_base < 0 || segment_base > counts.n_tokens)
    reader.fail("the begin of a RoPE segment is impossible");
  const PinnedMemory dense(n_bytes);
  reader.bytes({dense.data(), n_bytes});
  for (std::int32_t l = 0; l < layout.n_layers; ++l) {
    const std::byte* positions =
        dense.data() + static_cast<std::size_t>(l) * each +
        static_cast<std::size_t>(layout.n_kv_heads * layout.n_head_arrays() * counts.n_held *
                                 layout.head_dim * layout.element_bytes);
    for (std::int32_t g = 0; g < layout.n_eviction_groups; ++g) {
      std::vector<std::int32_t> held(static_cast<std::size_t>(counts.n_held));
      std::copy_n(
          positions + static_cast<std::size_t>(g * layout.n_slot_arrays() * counts.n_held * 4),
          held.size() * sizeof(std::int32_t), reinterpret_cast<std::byte*>(held.data()));
      check_positions(options_.cache, {.size = options_.cache.cache_size}, counts, std::move(held));
    }
  }
  states_->resize(
      s, std::max(s.capacity,
                  model_.capacity(counts.n_held, counts.n_held > options_.cache.cache_size)));
  const Stream& stream = states_->after(s);
  for (std::int32_t l = 0; l < layout.n_layers; ++l)
    copy_layer(layout, s, l, counts.n_held, dense.data() + static_cast<std::size_t>(l) * each,
               false, stream);
  stream.synchronize();
  s.n_held = counts.n_held;
  s.n_tokens = counts.n_tokens;
  s.rotation = counts.n_tokens > 0 ? model_.wanted_rotation(counts.n_tokens - 1) : 0;
  s.segment_base = segment_base;
  s.pin = counts.pin;
  return counts.n_tokens;
}

}  // namespace tovamill::cuda
