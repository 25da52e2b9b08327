#include "kernels/cuda/attention/attention_scratch.h"

#include <algorithm>

#include "kernels/types/model_limits.h"

namespace tovamill::cuda {
namespace {

// More tiles side by side than fill the GPU gain nothing.
constexpr std::int64_t kMaxBytes = std::int64_t{1} << 30;

static_assert(kMaxHeads <= kMaxGridYz);  // heads, KV heads and eviction groups stand along y and z

std::int64_t padded(std::int64_t n_slots) {
  return (n_slots + kGemmTile - 1) / kGemmTile * kGemmTile;
}

template <class T>
std::int64_t bytes_of(std::int64_t n) {
  return StateLayout::align(n * static_cast<std::int64_t>(sizeof(T)));
}

// Hands out parts of the scratch one after another.
class Parts {
 public:
  explicit Parts(void* base) : at_(static_cast<unsigned char*>(base)) {}
  template <class T>
  T* take(std::int64_t n) {
    T* p = reinterpret_cast<T*>(at_);
    at_ += bytes_of<T>(n);
    return p;
  }

 private:
  unsigned char* at_;
};

}  // namespace

AttentionScratch::AttentionScratch(const AttentionModel& model, Arena& arena)
    : model_(model), arena_(arena) {
  make_room(model.tile_slots(kRopeSegmentTokens, false));
}

// Keys and values of the tokens of one tile, where the state has no room for them.
std::int64_t AttentionScratch::appended_bytes() const {
  const StateLayout& layout = model_.layout();
  if (!is_bounded(model_.cache())) return 0;
  return StateLayout::align(model_.shape().n_kv_heads * layout.n_head_arrays() *
                            kRopeSegmentTokens * model_.shape().head_dim * layout.element_bytes);
}

// Bytes of one tile of `ld` slots: scores, eviction steps, sums, evictions, moves, appended keys
// and values, and the scan's sums where they do not fit shared memory.
std::int64_t AttentionScratch::tile_bytes(std::int64_t ld) const {
  const std::int64_t heads = model_.shape().n_heads, groups = model_.shape().n_eviction_groups;
  return bytes_of<float>(heads * kRopeSegmentTokens * ld) + bytes_of<std::int32_t>(groups * ld) +
         3 * bytes_of<float>(heads * kRopeSegmentTokens) +
         4 * bytes_of<float>(groups * kRopeSegmentTokens) + bytes_of<std::int32_t>(groups) +
         appended_bytes() +
         StateLayout::align(static_cast<std::int64_t>(
             scan_partial_bytes(model_.shape(), 1, static_cast<std::int32_t>(ld))));
}

// Bytes of one block of one token.
std::int64_t AttentionScratch::decode_tile_bytes(std::int64_t ld) const {
  const std::int64_t heads = model_.shape().n_heads, groups = model_.shape().n_eviction_groups;
  return bytes_of<float>(heads * ld) + bytes_of<float>(heads) + 3 * bytes_of<float>(groups * ld) +
         bytes_of<unsigned>(groups) + bytes_of<EventRecord>(groups * ld);
}

// Bytes for as many tiles as the step may have, within kMaxBytes, but for one at least.
std::int64_t AttentionScratch::bytes(std::int64_t n_slots) const {
  const std::int64_t ld = padded(n_slots), each = std::max(tile_bytes(ld), decode_tile_bytes(ld));
  const std::int64_t rows = model_.max_rows();
  const std::int64_t most =
      std::max(tile_bytes(ld) * ((rows + kRopeSegmentTokens - 1) / kRopeSegmentTokens + 1),
               decode_tile_bytes(ld) * rows);
  return std::max(each, std::min(most, kMaxBytes));
}

std::size_t AttentionScratch::size_for(std::int64_t n_slots) const {
  return std::max(memory_.size(), static_cast<std::size_t>(bytes(n_slots)));
}

void AttentionScratch::make_room(std::int64_t n_slots) {
  if (n_slots <= n_slots_) return;
  const auto wanted = static_cast<std::size_t>(bytes(n_slots));
  const std::size_t had = memory_.size();
  if (wanted > had) {
    memory_ = ArenaBlock();
    try {
      memory_ = arena_.take(wanted, "the scratch of attention");
    } catch (const OutOfMemory&) {
      if (had > 0) memory_ = arena_.take(had, "the scratch of attention");
      throw;
    }
  }
  n_slots_ = n_slots;
}

// The scores' grid has a block along z for each tile and head.
bool AttentionScratch::holds_tiles(std::int64_t n_tiles, std::int64_t n_slots) const {
  return n_tiles * model_.shape().n_heads <= kMaxGridYz &&
         tile_bytes(padded(n_slots)) * n_tiles <= static_cast<std::int64_t>(memory_.size());
}

bool AttentionScratch::holds_decode_tiles(std::int64_t n_tiles, std::int64_t n_slots) const {
  return n_tiles <= kMaxGridYz &&
         decode_tile_bytes(padded(n_slots)) * n_tiles <= static_cast<std::int64_t>(memory_.size());
}

TileScratch AttentionScratch::tiles(std::int64_t n_tiles, std::int64_t n_slots,
                                    float*& partial) const {
  const std::int64_t ld = padded(n_slots), heads = n_tiles * model_.shape().n_heads,
                     groups = n_tiles * model_.shape().n_eviction_groups;
  Parts parts(memory_.data());
  TileScratch s{};
  s.ld = static_cast<std::int32_t>(ld);
  s.scores = parts.take<float>(heads * kRopeSegmentTokens * ld);
  s.eviction_step = parts.take<std::int32_t>(groups * ld);
  s.row_max = parts.take<float>(heads * kRopeSegmentTokens);
  s.row_scale = parts.take<float>(heads * kRopeSegmentTokens);
  s.head_weight = parts.take<float>(heads * kRopeSegmentTokens);
  s.evicted = parts.take<std::int32_t>(groups * kRopeSegmentTokens);
  s.evicted_weight = parts.take<float>(groups * kRopeSegmentTokens);
  s.move_from = parts.take<std::int32_t>(groups * kRopeSegmentTokens);
  s.move_to = parts.take<std::int32_t>(groups * kRopeSegmentTokens);
  s.n_moves = parts.take<std::int32_t>(groups);
  s.appended = parts.take<unsigned char>(n_tiles * appended_bytes());
  const bool needs_partial =
      scan_partial_bytes(model_.shape(), static_cast<std::int32_t>(n_tiles), s.ld) > 0;
  partial = needs_partial ? parts.take<float>(groups * kScanWarps * ld) : nullptr;
  return s;
}

template <class T>
void AttentionScratch::give_decode_tiles(std::int64_t n_tiles, std::int64_t n_slots,
                                         DecodeArguments<T>& a) const {
  const std::int64_t ld = padded(n_slots), heads = n_tiles * model_.shape().n_heads,
                     groups = n_tiles * model_.shape().n_eviction_groups;
  Parts parts(memory_.data());
  a.ld = static_cast<std::int32_t>(ld);
  a.weights = parts.take<float>(heads * ld);
  a.inverse_sum = parts.take<float>(heads);
  a.mean = parts.take<float>(groups * ld);
  a.eviction_step = parts.take<std::int32_t>(groups * ld);
  a.move_to = parts.take<std::int32_t>(groups * ld);
  a.n_done = parts.take<unsigned>(groups);
  a.evictions = a.max_evictions > 1 ? parts.take<EventRecord>(groups * a.max_evictions) : nullptr;
}

template void AttentionScratch::give_decode_tiles<float>(std::int64_t, std::int64_t,
                                                         DecodeArguments<float>&) const;
template void AttentionScratch::give_decode_tiles<Bf16>(std::int64_t, std::int64_t,
                                                        DecodeArguments<Bf16>&) const;

}  // namespace tovamill::cuda
