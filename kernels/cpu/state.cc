#include "kernels/cpu/state.h"

#include <sys/mman.h>

#include <algorithm>
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

std::size_t StateLayout::layer_bytes(std::int64_t capacity) const {
  const auto slots = static_cast<std::size_t>(capacity);
  return static_cast<std::size_t>(n_kv_heads * n_head_arrays()) * align_up(slots * row_bytes()) +
         static_cast<std::size_t>(n_eviction_groups * n_group_arrays()) * align_up(slots * 4);
}

CpuState::CpuState(const StateLayout& layout, std::int64_t capacity)
    : layout_(layout),
      capacity_(capacity),
      arena_(layout.layer_bytes(capacity) * static_cast<std::size_t>(layout.n_layers)),
      n_slots_(static_cast<std::size_t>(layout.n_layers), 0),
      rotation_(static_cast<std::size_t>(layout.n_layers), 0) {}

void CpuState::reset() {
  std::fill(n_slots_.begin(), n_slots_.end(), 0);
  std::fill(rotation_.begin(), rotation_.end(), 0);
  n_tokens_ = 0;
  n_before_segment_ = 0;
  pin_ = 0;
}

std::byte* CpuState::layer_base(std::int32_t layer) const {
  return arena_.data() + static_cast<std::size_t>(layer) * layout_.layer_bytes(capacity_);
}

std::size_t CpuState::head_bytes() const {
  return align_up(static_cast<std::size_t>(capacity_) * layout_.row_bytes());
}

std::byte* CpuState::head(std::int32_t layer, std::int32_t kv, int array) const {
  return layer_base(layer) +
         static_cast<std::size_t>(array * layout_.n_kv_heads + kv) * head_bytes();
}

std::int32_t* CpuState::positions(std::int32_t layer, std::int32_t group) const {
  const auto heads = static_cast<std::size_t>(layout_.n_kv_heads * layout_.n_head_arrays());
  std::byte* base = layer_base(layer) + heads * head_bytes();
  return reinterpret_cast<std::int32_t*>(
      base + static_cast<std::size_t>(group) * align_up(static_cast<std::size_t>(capacity_) * 4));
}

float* CpuState::policy_row(std::int32_t layer, std::int32_t group, int array) const {
  return reinterpret_cast<float*>(
      positions(layer, (1 + array) * layout_.n_eviction_groups + group));
}

std::vector<std::size_t> CpuState::slot_bytes() const {
  const std::int32_t n_heads = layout_.n_kv_heads * layout_.n_head_arrays(),
                     n_rows = layout_.n_eviction_groups * layout_.n_group_arrays();
  std::vector<std::size_t> bytes(static_cast<std::size_t>(n_heads), layout_.row_bytes());
  bytes.insert(bytes.end(), static_cast<std::size_t>(n_rows), sizeof(float));
  return bytes;
}

std::vector<std::span<std::byte>> CpuState::parts(std::int32_t layer, std::int64_t n_slots) const {
  std::vector<std::span<std::byte>> parts;
  std::byte* at = layer_base(layer);
  for (const std::size_t slot : slot_bytes()) {
    parts.emplace_back(at, slot * static_cast<std::size_t>(n_slots));
    at += align_up(slot * static_cast<std::size_t>(capacity_));
  }
  return parts;
}

void CpuState::resize(std::int64_t capacity) {
  if (capacity == capacity_) return;
  CpuState other(layout_, capacity);
  other.copy_slots(*this);
  arena_ = std::move(other.arena_);
  capacity_ = capacity;
}

void CpuState::assign(const CpuState& other) {
  if (this == &other) return;
  if (capacity_ != other.capacity_) {
    CpuState empty(layout_, other.capacity_);
    arena_ = std::move(empty.arena_);
    capacity_ = other.capacity_;
  }
  copy_slots(other);
  n_slots_ = other.n_slots_;
  rotation_ = other.rotation_;
  n_tokens_ = other.n_tokens_;
  n_before_segment_ = other.n_before_segment_;
  pin_ = other.pin_;
}

void CpuState::copy_slots(const CpuState& other) {
  for (std::int32_t layer = 0; layer < layout_.n_layers; ++layer) {
    const std::int32_t n = other.n_slots(layer);
    const std::vector<std::span<std::byte>> from = other.parts(layer, n), to = parts(layer, n);
    for (std::size_t i = 0; i < from.size(); ++i)
      std::memcpy(to[i].data(), from[i].data(), from[i].size());
  }
}

}  // namespace tovamill::cpu
