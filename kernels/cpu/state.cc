#include "kernels/cpu/state.h"

#include <sys/mman.h>

#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <cstring>
#include <string>

#include "kernels/cpu/alignment.h"
#include "kernels/types/error.h"
#include "kernels/types/format.h"

namespace tovamill::cpu {
namespace {

// Linux's huge page. A stream's rows of one layer lie on a hundred pages of 4 KiB, which decoding
// visits once a step: finding them took a sixth of its time (16 streams, 512 slots). What is
// behind the last whole huge page stays in small ones.
constexpr std::size_t kHugePage = std::size_t{2} << 20, kLarge = 2 * kHugePage;

}  // namespace

AlignedBytes::AlignedBytes(std::size_t n_bytes) : n_bytes_(n_bytes) {
  const bool is_large = n_bytes >= kLarge;
  void* p = is_large
                ? std::aligned_alloc(kHugePage, (n_bytes + kHugePage - 1) / kHugePage * kHugePage)
                : std::aligned_alloc(kAlign, align_up(std::max<std::size_t>(n_bytes, 1)));
  if (p == nullptr) {
    throw OutOfMemory("out of memory: " + with_thousands(n_bytes) +
                      " bytes could not be had; use fewer --streams or a smaller --cache-size");
  }
  if (is_large) madvise(p, n_bytes / kHugePage * kHugePage, MADV_HUGEPAGE);  // a wish, no more
  std::memset(p, 0, n_bytes);
  data_.reset(static_cast<std::byte*>(p));
}

void AlignedBytes::Free::operator()(std::byte* p) const { std::free(p); }

std::int64_t StateLayout::bounded_capacity() const {
  std::int32_t most = 0;
  for (const LayerPlaces& p : places) most = std::max(most, p.size);
  return pad_slots(std::int64_t{most} + tile_queries);
}

std::int64_t StateLayout::layer_capacity(std::int32_t layer, std::int64_t capacity) const {
  if (places.empty() || capacity > bounded_capacity()) return capacity;
  const std::int64_t own = places[static_cast<std::size_t>(layer)].size;
  return std::min(capacity, pad_slots(own + tile_queries));
}

std::size_t StateLayout::layer_bytes(std::int32_t layer, std::int64_t capacity) const {
  const auto slots = static_cast<std::size_t>(layer_capacity(layer, capacity));
  return static_cast<std::size_t>(of(layer).n_kv_heads * n_head_arrays()) *
             align_up(slots * row_bytes(layer)) +
         static_cast<std::size_t>(n_eviction_groups * n_group_arrays()) * align_up(slots * 4) +
         align_up(merge_bytes(layer));
}

std::size_t StateLayout::merge_bytes(std::int32_t layer) const {
  const auto merged = static_cast<std::size_t>(n_merged(layer)),
             kv = static_cast<std::size_t>(of(layer).n_kv_heads);
  if (merged == 0) return 0;
  constexpr auto kLeft = static_cast<std::size_t>(kMergeInterval);
  return kv * merged * (sizeof(double) + sizeof(float)) +
         static_cast<std::size_t>(2 * of(layer).q_size()) * sizeof(float) +
         (1 + kLeft) * sizeof(std::int32_t) + 2 * kv * kLeft * row_bytes(layer);
}

std::size_t StateLayout::state_bytes(std::int64_t capacity) const {
  std::size_t bytes = 0;
  for (std::int32_t layer = 0; layer < n_layers(); ++layer) bytes += layer_bytes(layer, capacity);
  return bytes;
}

CpuState::CpuState(const StateLayout& layout, std::int64_t capacity)
    : layout_(layout),
      arena_(layout.state_bytes(capacity)),
      n_slots_(layout.heads.size(), 0),
      rotation_(layout.heads.size(), 0) {
  lay_out(capacity);
  reset();
}

// Where the layers lie in an arena of so many slots.
void CpuState::lay_out(std::int64_t capacity) {
  capacity_ = capacity;
  layer_offsets_.clear();
  std::size_t at = 0;
  for (std::int32_t layer = 0; layer < layout_.n_layers(); ++layer) {
    layer_offsets_.push_back(at);
    at += layout_.layer_bytes(layer, capacity);
  }
}

void CpuState::reset() {
  for (std::int32_t layer = 0; layer < layout_.n_layers(); ++layer) {
    n_slots(layer) = n_merged(layer);
    if (n_merged(layer) > 0) clear_merged(layer);
  }
  std::fill(rotation_.begin(), rotation_.end(), 0);
  n_tokens_ = 0;
  n_before_segment_ = 0;
  pin_ = 0;
}

// Places that weigh nothing and never leave.
void CpuState::clear_merged(std::int32_t layer) {
  const std::int32_t n = n_merged(layer);
  for (const std::span<std::byte> part : parts(layer, n)) std::memset(part.data(), 0, part.size());
  for (std::int32_t g = 0; g < layout_.n_eviction_groups; ++g) {
    std::fill_n(positions(layer, g), n, kMergedPosition);
    if (layout_.memory == PolicyMemory::average) std::fill_n(decay_power(layer, g), n, 1.0f);
  }
  std::fill_n(merge_rows(layer).score_biases, layout_.of(layer).n_kv_heads * n, -INFINITY);
}

MergeRows CpuState::merge_rows(std::int32_t layer) const {
  const auto kv = static_cast<std::size_t>(layout_.of(layer).n_kv_heads),
             merged = static_cast<std::size_t>(n_merged(layer));
  constexpr auto kLeft = static_cast<std::size_t>(kMergeInterval);
  std::byte* at = layer_base(layer) + layout_.layer_bytes(layer, capacity_) -
                  align_up(layout_.merge_bytes(layer));
  const auto take = [&](std::size_t n_bytes) {
    std::byte* const taken = at;
    at += n_bytes;
    return taken;
  };
  // The rows first: the sizes of all before them are multiples of their alignment.
  MergeRows rows{};
  rows.positions = reinterpret_cast<double*>(take(kv * merged * sizeof(double)));
  rows.left_keys = take(kv * kLeft * layout_.row_bytes(layer));
  rows.left_values = take(kv * kLeft * layout_.row_bytes(layer));
  rows.score_biases = reinterpret_cast<float*>(take(kv * merged * sizeof(float)));
  rows.query_sums = reinterpret_cast<float*>(
      take(static_cast<std::size_t>(2 * layout_.of(layer).q_size()) * sizeof(float)));
  rows.left_positions = reinterpret_cast<std::int32_t*>(take(kLeft * sizeof(std::int32_t)));
  rows.n_left = reinterpret_cast<std::int32_t*>(take(sizeof(std::int32_t)));
  return rows;
}

std::byte* CpuState::layer_base(std::int32_t layer) const {
  return arena_.data() + layer_offsets_[static_cast<std::size_t>(layer)];
}

std::size_t CpuState::head_bytes(std::int32_t layer) const {
  return align_up(static_cast<std::size_t>(slots_of(layer)) * layout_.row_bytes(layer));
}

std::byte* CpuState::head(std::int32_t layer, std::int32_t kv, int array) const {
  return layer_base(layer) +
         static_cast<std::size_t>(array * layout_.of(layer).n_kv_heads + kv) * head_bytes(layer);
}

std::int32_t* CpuState::positions(std::int32_t layer, std::int32_t group) const {
  const auto heads =
      static_cast<std::size_t>(layout_.of(layer).n_kv_heads * layout_.n_head_arrays());
  std::byte* base = layer_base(layer) + heads * head_bytes(layer);
  return reinterpret_cast<std::int32_t*>(
      base +
      static_cast<std::size_t>(group) * align_up(static_cast<std::size_t>(slots_of(layer)) * 4));
}

float* CpuState::policy_row(std::int32_t layer, std::int32_t group, int array) const {
  return reinterpret_cast<float*>(
      positions(layer, (1 + array) * layout_.n_eviction_groups + group));
}

std::vector<std::size_t> CpuState::slot_bytes(std::int32_t layer) const {
  const std::int32_t n_heads = layout_.of(layer).n_kv_heads * layout_.n_head_arrays(),
                     n_rows = layout_.n_eviction_groups * layout_.n_group_arrays();
  std::vector<std::size_t> bytes(static_cast<std::size_t>(n_heads), layout_.row_bytes(layer));
  bytes.insert(bytes.end(), static_cast<std::size_t>(n_rows), sizeof(float));
  return bytes;
}

std::vector<std::span<std::byte>> CpuState::parts(std::int32_t layer, std::int64_t n_slots) const {
  std::vector<std::span<std::byte>> parts;
  std::byte* at = layer_base(layer);
  for (const std::size_t slot : slot_bytes(layer)) {
    parts.emplace_back(at, slot * static_cast<std::size_t>(n_slots));
    at += align_up(slot * static_cast<std::size_t>(slots_of(layer)));
  }
  if (const std::size_t n = layout_.merge_bytes(layer); n > 0) parts.emplace_back(at, n);
  return parts;
}

std::size_t CpuState::parts_bytes(std::int32_t layer, std::int64_t n_slots) const {
  std::size_t bytes = layout_.merge_bytes(layer);
  for (const std::size_t slot : slot_bytes(layer))
    bytes += slot * static_cast<std::size_t>(n_slots);
  return bytes;
}

void CpuState::resize(std::int64_t capacity) {
  if (capacity == capacity_) return;
  CpuState other(layout_, capacity);
  other.copy_slots(*this);
  arena_ = std::move(other.arena_);
  lay_out(capacity);
}

void CpuState::assign(const CpuState& other) {
  if (this == &other) return;
  if (capacity_ != other.capacity_) {
    CpuState empty(layout_, other.capacity_);
    arena_ = std::move(empty.arena_);
    lay_out(other.capacity_);
  }
  copy_slots(other);
  n_slots_ = other.n_slots_;
  rotation_ = other.rotation_;
  n_tokens_ = other.n_tokens_;
  n_before_segment_ = other.n_before_segment_;
  pin_ = other.pin_;
}

void CpuState::copy_slots(const CpuState& other) {
  for (std::int32_t layer = 0; layer < layout_.n_layers(); ++layer) {
    const std::int32_t n = other.n_slots(layer);
    const std::vector<std::span<std::byte>> from = other.parts(layer, n), to = parts(layer, n);
    for (std::size_t i = 0; i < from.size(); ++i)
      std::memcpy(to[i].data(), from[i].data(), from[i].size());
  }
}

}  // namespace tovamill::cpu
