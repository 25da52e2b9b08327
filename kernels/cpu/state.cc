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
// visits once a step: finding them took a sixth of its time (16 streams, 512 columns). What is
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
  const auto columns = static_cast<std::size_t>(capacity);
  const std::size_t head =
      align_up(columns * static_cast<std::size_t>(head_dim) * element_bytes(storage));
  const std::size_t row = align_up(columns * 4);
  return static_cast<std::size_t>(n_kv_heads) * (keeps_unrotated ? 3 : 2) * head +
         static_cast<std::size_t>(n_eviction_groups) *
             (1 + (remembers ? 1 : 0) + (averages ? 2 : 0)) * row;
}

CpuState::CpuState(const StateLayout& layout, std::int64_t capacity)
    : layout_(layout),
      capacity_(capacity),
      arena_(layout.layer_bytes(capacity) * static_cast<std::size_t>(layout.n_layers)),
      n_columns_(static_cast<std::size_t>(layout.n_layers), 0),
      rotation_(static_cast<std::size_t>(layout.n_layers), 0) {}

void CpuState::reset() {
  std::fill(n_columns_.begin(), n_columns_.end(), 0);
  std::fill(rotation_.begin(), rotation_.end(), 0);
  n_tokens_ = 0;
  group_base_ = 0;
  pin_ = 0;
}

std::byte* CpuState::layer_base(std::int32_t layer) const {
  return arena_.data() + static_cast<std::size_t>(layer) * layout_.layer_bytes(capacity_);
}

std::size_t CpuState::head_bytes() const {
  return align_up(static_cast<std::size_t>(capacity_) * static_cast<std::size_t>(layout_.head_dim) *
                  element_bytes(layout_.storage));
}

std::byte* CpuState::head(std::int32_t layer, std::int32_t kv, int array) const {
  return layer_base(layer) +
         static_cast<std::size_t>(array * layout_.n_kv_heads + kv) * head_bytes();
}

std::int32_t* CpuState::positions(std::int32_t layer, std::int32_t group) const {
  const std::size_t heads =
      static_cast<std::size_t>(layout_.n_kv_heads) * (layout_.keeps_unrotated ? 3 : 2);
  std::byte* base = layer_base(layer) + heads * head_bytes();
  return reinterpret_cast<std::int32_t*>(
      base + static_cast<std::size_t>(group) * align_up(static_cast<std::size_t>(capacity_) * 4));
}

float* CpuState::policy_row(std::int32_t layer, std::int32_t group, int array) const {
  return reinterpret_cast<float*>(
      positions(layer, (1 + array) * layout_.n_eviction_groups + group));
}

std::vector<std::size_t> CpuState::column_bytes() const {
  const std::size_t row =
      static_cast<std::size_t>(layout_.head_dim) * element_bytes(layout_.storage);
  const std::int32_t heads = layout_.n_kv_heads * (layout_.keeps_unrotated ? 3 : 2);
  const std::int32_t rows =
      layout_.n_eviction_groups * (1 + (layout_.remembers ? 1 : 0) + (layout_.averages ? 2 : 0));
  std::vector<std::size_t> bytes(static_cast<std::size_t>(heads), row);
  bytes.insert(bytes.end(), static_cast<std::size_t>(rows), sizeof(float));
  return bytes;
}

std::vector<std::span<std::byte>> CpuState::parts(std::int32_t layer,
                                                  std::int64_t n_columns) const {
  std::vector<std::span<std::byte>> parts;
  std::byte* at = layer_base(layer);
  for (const std::size_t column : column_bytes()) {
    parts.emplace_back(at, column * static_cast<std::size_t>(n_columns));
    at += align_up(column * static_cast<std::size_t>(capacity_));
  }
  return parts;
}

void CpuState::resize(std::int64_t capacity) {
  if (capacity == capacity_) return;
  CpuState other(layout_, capacity);
  other.copy_columns(*this);
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
  copy_columns(other);
  n_columns_ = other.n_columns_;
  rotation_ = other.rotation_;
  n_tokens_ = other.n_tokens_;
  group_base_ = other.group_base_;
  pin_ = other.pin_;
}

void CpuState::copy_columns(const CpuState& other) {
  for (std::int32_t layer = 0; layer < layout_.n_layers; ++layer) {
    const std::int32_t n = other.n_columns(layer);
    const std::vector<std::span<std::byte>> from = other.parts(layer, n), to = parts(layer, n);
    for (std::size_t i = 0; i < from.size(); ++i)
      std::memcpy(to[i].data(), from[i].data(), from[i].size());
  }
}

}  // namespace tovamill::cpu
