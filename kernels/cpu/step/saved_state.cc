// A CPU state as bytes, behind the common head (kernels/saved_state.h): i64 tokens held when the
// current RoPE segment began (in-state positions). Then of each layer:
//   i32 n_slots, i64 what the rotated keys are relative to
//   unrotated keys (where they are kept), rotated keys, values: (n_kv_heads, n_slots, head_dim)
//   each, in the storage type
//   positions i32, then the policy's rows f32: (n_eviction_groups, n_slots) each
// Slots stand in their order: later sums run over them in it.

#include "kernels/saved_state.h"

#include <algorithm>

#include "kernels/cpu/step/backend.h"
#include "kernels/types/error.h"

namespace tovamill::cpu {
namespace {

StateKind kind_of(ComputeType storage) {
  switch (storage) {
    case ComputeType::f32:
      return StateKind::cpu_f32;
    case ComputeType::bf16:
      return StateKind::cpu_bf16;
  }
  throw Error(ExitCode::internal, "a state is kept in a type out of range");
}

// Behind the head, with so many slots in each layer.
std::uint64_t body_bytes(const CpuState& state, std::int32_t n_layers, std::int64_t n_slots) {
  std::uint64_t layer = sizeof(std::int32_t) + sizeof(std::int64_t);
  for (const std::size_t slot : state.slot_bytes())
    layer += slot * static_cast<std::uint64_t>(n_slots);
  return sizeof(std::int64_t) + layer * static_cast<std::uint64_t>(n_layers);
}

}  // namespace

void CpuBackend::save(const StreamState& state, std::vector<std::byte>& out) const {
  const auto& s = static_cast<const CpuState&>(state);
  const std::int32_t n_layers = options_.shape.n_layers;
  const StateCounts counts{.n_tokens = s.n_tokens(), .n_held = s.n_slots(0), .pin = s.pin()};
  constexpr std::size_t kHeadRoom = 4096;
  out.reserve(out.size() + kHeadRoom + body_bytes(s, n_layers, counts.n_held));
  StateWriter writer(out);
  write_state_head(writer, kind_of(type_), options_.shape, options_.cache, counts);
  writer.number(s.n_before_segment());
  for (std::int32_t layer = 0; layer < n_layers; ++layer) {
    writer.number(s.n_slots(layer));
    writer.number(s.rotation(layer));
    for (const std::span<std::byte> part : s.parts(layer, s.n_slots(layer))) writer.bytes(part);
  }
}

std::int64_t CpuBackend::load(StreamState& state, std::span<const std::byte> bytes) {
  auto& s = static_cast<CpuState&>(state);
  reset(s);
  StateReader reader(bytes);
  const std::int32_t n_layers = options_.shape.n_layers;
  const StateCounts counts =
      read_state_head(reader, kind_of(type_), options_.shape, options_.cache);
  const auto n_slots = static_cast<std::int32_t>(counts.n_held);
  reader.expect_left(body_bytes(s, n_layers, n_slots));
  const auto n_before = reader.number<std::int64_t>();
  if (n_before < 0 || n_before > counts.n_tokens)
    reader.fail("a RoPE segment's begin is impossible");
  s.resize(std::max(s.capacity(),
                    attention_.model().capacity(n_slots, n_slots > options_.cache.cache_size)));
  const std::int64_t rotation =
      counts.n_tokens > 0 ? attention_.model().wanted_rotation(counts.n_tokens - 1) : 0;
  for (std::int32_t layer = 0; layer < n_layers; ++layer) {
    if (reader.number<std::int32_t>() != n_slots) reader.fail("a layer's size is wrong");
    if (reader.number<std::int64_t>() != rotation) reader.fail("a layer's rotation is wrong");
    for (const std::span<std::byte> part : s.parts(layer, n_slots)) reader.bytes(part);
    for (std::int32_t g = 0; g < n_eviction_groups(options_.cache, options_.shape); ++g) {
      const std::int32_t* first = s.positions(layer, g);
      check_positions(options_.cache, counts, {first, first + n_slots});
    }
  }
  for (std::int32_t layer = 0; layer < n_layers; ++layer) {
    s.n_slots(layer) = n_slots;
    s.rotation(layer) = rotation;
  }
  s.n_tokens() = counts.n_tokens;
  s.n_before_segment() = n_before;
  s.pin() = counts.pin;
  return counts.n_tokens;
}

}  // namespace tovamill::cpu
