// A CPU state as bytes, behind the common head (kernels/saved_state.h): i64 tokens held when the
// current group of 256 began (in-state positions). Then of each layer:
//   i32 n_columns, i64 what the rotated keys are relative to
//   unrotated keys (where they are kept), rotated keys, values: (n_kv_heads, n_columns, head_dim)
//   each, in the storage type
//   positions i32, then the policy's rows f32: (n_eviction_groups, n_columns) each
// Columns stand in their order: later sums run over them in it.

#include "kernels/saved_state.h"

#include <algorithm>

#include "kernels/cpu/backend.h"
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

// Behind the head, with so many columns in each layer.
std::uint64_t body_bytes(const CpuState& state, std::int32_t n_layers, std::int64_t n_columns) {
  std::uint64_t layer = sizeof(std::int32_t) + sizeof(std::int64_t);
  for (const std::size_t column : state.column_bytes())
    layer += column * static_cast<std::uint64_t>(n_columns);
  return sizeof(std::int64_t) + layer * static_cast<std::uint64_t>(n_layers);
}

}  // namespace

void CpuBackend::save(const StreamState& state, std::vector<std::byte>& out) const {
  const auto& s = static_cast<const CpuState&>(state);
  const std::int32_t n_layers = options_.shape.n_layers;
  const StateCounts counts{.n_tokens = s.n_tokens(), .n_held = s.n_columns(0), .pin = s.pin()};
  constexpr std::size_t kHeadRoom = 4096;
  out.reserve(out.size() + kHeadRoom + body_bytes(s, n_layers, counts.n_held));
  StateWriter writer(out);
  write_state_head(writer, kind_of(type_), options_.shape, options_.cache, counts);
  writer.number(s.group_base());
  for (std::int32_t layer = 0; layer < n_layers; ++layer) {
    writer.number(s.n_columns(layer));
    writer.number(s.rotation(layer));
    for (const std::span<std::byte> part : s.parts(layer, s.n_columns(layer))) writer.bytes(part);
  }
}

std::int64_t CpuBackend::load(StreamState& state, std::span<const std::byte> bytes) {
  auto& s = static_cast<CpuState&>(state);
  reset(s);
  StateReader reader(bytes);
  const std::int32_t n_layers = options_.shape.n_layers;
  const StateCounts counts =
      read_state_head(reader, kind_of(type_), options_.shape, options_.cache);
  const auto n_columns = static_cast<std::int32_t>(counts.n_held);
  reader.expect_left(body_bytes(s, n_layers, n_columns));
  const auto group_base = reader.number<std::int64_t>();
  if (group_base < 0 || group_base > counts.n_tokens) reader.fail("a group's begin is impossible");
  s.resize(std::max(s.capacity(),
                    attention_.capacity(n_columns, n_columns > options_.cache.cache_size)));
  const std::int64_t rotation =
      counts.n_tokens > 0 ? attention_.wanted_rotation(counts.n_tokens - 1) : 0;
  for (std::int32_t layer = 0; layer < n_layers; ++layer) {
    if (reader.number<std::int32_t>() != n_columns) reader.fail("a layer's size is wrong");
    if (reader.number<std::int64_t>() != rotation) reader.fail("a layer's rotation is wrong");
    for (const std::span<std::byte> part : s.parts(layer, n_columns)) reader.bytes(part);
    for (std::int32_t g = 0; g < n_eviction_groups(options_.cache, options_.shape); ++g) {
      const std::int32_t* first = s.positions(layer, g);
      check_positions(options_.cache, counts, {first, first + n_columns});
    }
  }
  for (std::int32_t layer = 0; layer < n_layers; ++layer) {
    s.n_columns(layer) = n_columns;
    s.rotation(layer) = rotation;
  }
  s.n_tokens() = counts.n_tokens;
  s.group_base() = group_base;
  s.pin() = counts.pin;
  return counts.n_tokens;
}

}  // namespace tovamill::cpu
