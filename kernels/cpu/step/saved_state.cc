// A CPU state as bytes, behind the common head (kernels/saved_state.h): i64 tokens held when the
// current RoPE segment began (in-state positions). Then of each layer, behind its bytes where
// layers differ:
//   i32 n_slots, i64 what the rotated keys are relative to
//   unrotated keys (where they are kept), rotated keys, values: (n_kv_heads, n_slots, head_dim)
//   each, in the storage type
//   positions i32, then the policy's rows f32: (n_eviction_groups, n_slots) each
//   where the layer merges, its MergeRows as they lie in memory
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

}  // namespace

void CpuBackend::save(const StreamState& state, std::vector<std::byte>& out) const {
  const auto& s = static_cast<const CpuState&>(state);
  const std::int32_t n_layers = options_.shape.n_layers;
  const std::int64_t n_held = saved_n_held(options_.cache, s.n_tokens(), s.n_held(0));
  constexpr std::size_t kHeadRoom = 4096, kLayerRoom = 32;
  std::size_t room = kHeadRoom;
  for (std::int32_t layer = 0; layer < n_layers; ++layer)
    room += kLayerRoom + s.parts_bytes(layer, s.n_slots(layer));
  out.reserve(out.size() + room);
  StateWriter writer(out);
  write_state_head(writer, kind_of(type_), options_.shape, options_.cache,
                   {.n_tokens = s.n_tokens(), .n_held = n_held, .pin = s.pin()});
  writer.number(s.n_before_segment());
  for (std::int32_t layer = 0; layer < n_layers; ++layer) {
    write_layer(out, options_.cache, [&](StateWriter& to) {
      to.number(s.n_slots(layer));
      to.number(s.rotation(layer));
      for (const std::span<std::byte> part : s.parts(layer, s.n_slots(layer))) to.bytes(part);
    });
  }
}

// Checks that merged tokens and those that left may be so.
void CpuBackend::check_merge_rows(const CpuState& s, std::int32_t layer,
                                  const StateCounts& counts) const {
  const std::int32_t n = s.n_merged(layer), n_kv = options_.shape.heads(layer).n_kv_heads;
  if (n == 0) return;
  const MergeRows rows = s.merge_rows(layer);
  const auto last = static_cast<double>(counts.n_tokens);
  for (std::int32_t i = 0; i < n * n_kv; ++i) {
    if (!(rows.positions[i] >= 0.0 && rows.positions[i] <= last))
      StateReader::fail("a merged token lies outside the document");
  }
  if (*rows.n_left < 0 || *rows.n_left > counts.n_tokens % kMergeInterval)
    StateReader::fail("the number of tokens that left is impossible");
  const std::int32_t* positions = s.positions(layer, 0);
  if (std::any_of(positions, positions + n, [](std::int32_t p) { return p != kMergedPosition; }))
    StateReader::fail("a merged token is none");
}

// A layer into the room that the state has for it.
void CpuBackend::load_layer(StateReader& reader, CpuState& s, std::int32_t layer,
                            const StateCounts& counts, std::int64_t rotation) const {
  const LayerPlaces places = attention_.model().places(layer);
  const std::int32_t n_merged = s.n_merged(layer);
  if (layers_differ(options_.cache)) reader.number<std::uint64_t>();
  const auto n_slots = reader.number<std::int32_t>();
  if (n_slots < n_merged) reader.fail("a layer's size is wrong");
  check_layer_count(options_.cache, places, counts, n_slots - n_merged);
  if (reader.number<std::int64_t>() != rotation) reader.fail("a layer's rotation is wrong");
  reader.expect_at_least(s.parts_bytes(layer, n_slots));
  const std::int64_t needed = attention_.model().capacity(n_slots, n_slots > places.size);
  s.resize(std::max(s.capacity(), needed));
  for (const std::span<std::byte> part : s.parts(layer, n_slots)) reader.bytes(part);
  for (std::int32_t g = 0; g < n_eviction_groups(options_.cache, options_.shape); ++g) {
    const std::int32_t* first = s.positions(layer, g);
    check_positions(options_.cache, places, counts, {first + n_merged, first + n_slots});
  }
  check_merge_rows(s, layer, counts);
  s.n_slots(layer) = n_slots;
  s.rotation(layer) = rotation;
}

std::int64_t CpuBackend::load(StreamState& state, std::span<const std::byte> bytes) {
  auto& s = static_cast<CpuState&>(state);
  reset(s);
  try {
    return load_into(s, bytes);
  } catch (...) {
    reset(s);
    throw;
  }
}

std::int64_t CpuBackend::load_into(CpuState& s, std::span<const std::byte> bytes) const {
  StateReader reader(bytes);
  const StateCounts counts =
      read_state_head(reader, kind_of(type_), options_.shape, options_.cache);
  const auto n_before = reader.number<std::int64_t>();
  if (n_before < 0 || n_before > counts.n_tokens)
    reader.fail("a RoPE segment's begin is impossible");
  const std::int64_t rotation =
      counts.n_tokens > 0 ? attention_.model().wanted_rotation(counts.n_tokens - 1) : 0;
  for (std::int32_t layer = 0; layer < options_.shape.n_layers; ++layer)
    load_layer(reader, s, layer, counts, rotation);
  reader.expect_left(0);
  s.n_tokens() = counts.n_tokens;
  s.n_before_segment() = n_before;
  s.pin() = counts.pin;
  return counts.n_tokens;
}

}  // namespace tovamill::cpu
