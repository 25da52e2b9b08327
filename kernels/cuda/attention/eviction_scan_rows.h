// The softmax of one query over the live slots of a tile, by one warp, for the heads that the warp
// takes; what their weights sum up to for each slot. Device code of attention_eviction_scan.cu.
#pragma once

#include <type_traits>

#include "kernels/cuda/attention/eviction_scan_group.h"
#include "kernels/cuda/device/warp.h"

namespace tovamill::cuda::eviction_scan {

// Slots a lane holds of a row in registers, of which a thread has 128; rows beyond are read three
// times.
inline constexpr int kMaxInRegisters = 36;
// The same where the next row has registers, too.
inline constexpr int kMaxPrefetched = 24;

// Bit c: the lane reads slot c * kLanes + lane of its own.
template <int kSlots>
using SlotBits = std::conditional_t<(kSlots <= 32), std::uint32_t, std::uint64_t>;
template <class Bits>
__device__ Bits slot_bit(std::int32_t slot) {
  constexpr int kMaxBits = 8 * static_cast<int>(sizeof(Bits));
  const auto lane = static_cast<std::int32_t>(threadIdx.x % kLanes);
  return slot % kLanes == lane ? Bits{1} << slot / kLanes % kMaxBits : 0;
}

// The scores of the live slots, -inf in place of others.
template <int kSlots>
__device__ void read_row(const float* scores, SlotBits<kSlots> live, float (&x)[kSlots]) {
  const auto lane = static_cast<std::int32_t>(threadIdx.x % kLanes);
#pragma unroll
  for (int c = 0; c < kSlots; ++c)
    x[c] = (live >> c & 1u) != 0 ? scores[c * kLanes + lane] : -INFINITY;
}

// -inf in place of slots whose positions are at or below `hidden_below`.
template <int kSlots>
__device__ void hide(const std::int32_t* positions, std::int64_t hidden_below,
                     SlotBits<kSlots> live, float (&x)[kSlots]) {
  const auto lane = static_cast<std::int32_t>(threadIdx.x % kLanes);
#pragma unroll
  for (int c = 0; c < kSlots; ++c) {
    if ((live >> c & 1u) != 0 && positions[c * kLanes + lane] <= hidden_below) x[c] = -INFINITY;
  }
}

// A row's maximum and 1 / the sum of its exponentials, both with its sink's (-inf: none); the
// weight of each slot is added to `weights`. Where no slot is visible, all weights are 0; where a
// score is NaN, all are.
template <int kSlots>
__device__ void add_softmax(float (&x)[kSlots], float (&weights)[kSlots], float sink,
                            float& row_max, float& row_scale) {
  float top = -INFINITY, sum = 0.0f;
#pragma unroll
  for (int c = 0; c < kSlots; ++c) top = fmaxf(top, x[c]);  // passes over NaN
  row_max = fmaxf(warp_max(top), sink);
  if (row_max == -INFINITY) {
#pragma unroll
    for (int c = 0; c < kSlots; ++c) sum += x[c] != x[c] ? x[c] : 0.0f;
    row_scale = warp_sum(sum);  // 0 or NaN
#pragma unroll
    for (int c = 0; c < kSlots; ++c) weights[c] += row_scale;
    return;
  }
  const float shift = softmax_shift(row_max);
#pragma unroll
  for (int c = 0; c < kSlots; ++c) {
    x[c] = softmax_term(x[c], shift);
    sum += x[c];
  }
  row_scale = 1.0f / (warp_sum(sum) + softmax_term(sink, shift));
#pragma unroll
  for (int c = 0; c < kSlots; ++c) weights[c] = fmaf(x[c], row_scale, weights[c]);
}

// The same of any number `n` of slots; `weights` (n) are of all lanes.
__device__ inline void add_long_softmax(const float* scores, const ScannedGroup& g, bool hides,
                                        std::int64_t hidden_below, std::int32_t n, float sink,
                                        float* weights, float& row_max, float& row_scale) {
  const auto lane = static_cast<std::int32_t>(threadIdx.x % kLanes);
  const auto at = [&](std::int32_t j) {
    if (g.eviction_step[j] != kLive) return -INFINITY;
    return hides && g.positions[j] <= hidden_below ? -INFINITY : scores[j];
  };
  float top = -INFINITY;
  for (std::int32_t j = lane; j < n; j += kLanes) {
    const float x = at(j);
    top = (x > top || x != x) ? x : top;
  }
  row_max = warp_max(top);
  row_max = sink > row_max ? sink : row_max;
  if (row_max == -INFINITY) {
    row_scale = 0.0f;
    return;
  }
  const float shift = softmax_shift(row_max);
  float sum = 0.0f;
  for (std::int32_t j = lane; j < n; j += kLanes) sum += softmax_term(at(j), shift);
  row_scale = 1.0f / (warp_sum(sum) + softmax_term(sink, shift));
  for (std::int32_t j = lane; j < n; j += kLanes)
    weights[j] = fmaf(softmax_term(at(j), shift), row_scale, weights[j]);
}

// A warp's heads: every kScanWarps-th of the group. Rows of kSlots slots a lane stand in registers,
// of up to kMaxPrefetched the next one, too; with kSlots = 0 rows are of any length and stay in
// memory.
template <int kSlots>
class WarpHeads {
 public:
  static constexpr bool kInRegisters = kSlots > 0;

  // `sums` (ld) of this warp, for store_weights.
  __device__ WarpHeads(const ScannedGroup& group, float* sums)
      : g_(group),
        sums_(sums),
        warp_(static_cast<std::int32_t>(threadIdx.x) / kLanes),
        lane_(static_cast<std::int32_t>(threadIdx.x) % kLanes) {
#pragma unroll
    for (int c = 0; kInRegisters && c < kSlots; ++c)
      live_ |= c * kLanes + lane_ < g_.tile.n_state ? Bits{1} << c : 0;
    if constexpr (kPrefetches) {
      if (warp_ < g_.n_heads)
        read_row(g_.scores(warp_, 0), live_ | slot_bit<Bits>(g_.tile.n_state), next_row_);
    }
  }

  // The softmax of each of the warp's heads, of a query that attends to `n` slots at the most, the
  // last of which is its own; weights are summed over those heads.
  __device__ void add_query(std::int32_t query, std::int32_t n) {
    live_ |= slot_bit<Bits>(n - 1);
#pragma unroll
    for (int c = 0; c < kHeld; ++c) weights_[c] = 0.0f;
    if (!kInRegisters && warp_ < g_.n_heads) {
      for (std::int32_t j = lane_; j < n; j += kLanes) sums_[j] = 0.0f;
    }
    const bool hides = g_.a.shape.sliding_window > 0;
    const std::int64_t hidden_below = g_.hidden_below(query);
    for (std::int32_t h = warp_; h < g_.n_heads; h += kScanWarps) {
      float row_max = 0.0f, row_scale = 0.0f;
      if constexpr (kInRegisters) {
        float x[kHeld];
        take_row(h, query, n, x);
        if (hides) hide(g_.positions, hidden_below, live_, x);
        add_softmax(x, weights_, g_.sink(h), row_max, row_scale);
      } else {
        add_long_softmax(g_.scores(h, query), g_, hides, hidden_below, n, g_.sink(h), sums_,
                         row_max, row_scale);
      }
      if (lane_ == 0) g_.keep_softmax(h, query, row_max, row_scale);
    }
  }

  // Brings the summed weights of the first `n` slots to where the block finds them.
  __device__ void store_weights(std::int32_t n) const {
#pragma unroll
    for (int c = 0; kInRegisters && c < kSlots; ++c) {
      if (c * kLanes + lane_ < n && warp_ < g_.n_heads) sums_[c * kLanes + lane_] = weights_[c];
    }
  }

  // Later queries do not attend to `slot`.
  __device__ void evict(std::int32_t slot) {
    const Bits evicted = slot_bit<Bits>(slot);
    live_ &= ~evicted;
    if constexpr (kPrefetches) {
#pragma unroll
      for (int c = 0; c < kHeld; ++c)
        next_row_[c] = (evicted >> c & 1u) != 0 ? -INFINITY : next_row_[c];
    }
  }

 private:
  static constexpr bool kPrefetches = kInRegisters && kSlots <= kMaxPrefetched;
  static constexpr int kHeld = kInRegisters ? kSlots : 1;
  using Bits = SlotBits<kHeld>;

  // x = the scores of head h. Where rows are prefetched, the warp's next one, of this query or the
  // one after it, is on its way from memory afterwards.
  __device__ void take_row(std::int32_t h, std::int32_t query, std::int32_t n, float (&x)[kHeld]) {
    if constexpr (kPrefetches) {
#pragma unroll
      for (int c = 0; c < kHeld; ++c) x[c] = next_row_[c];
      const bool is_last = h + kScanWarps >= g_.n_heads;
      const Bits next = is_last ? live_ | slot_bit<Bits>(n) : live_;
      if (!is_last || query + 1 < g_.tile.n_queries)
        read_row(is_last ? g_.scores(warp_, query + 1) : g_.scores(h + kScanWarps, query), next,
                 next_row_);
    } else {
      read_row(g_.scores(h, query), live_, x);
    }
  }

  const ScannedGroup& g_;
  float* sums_;
  std::int32_t warp_, lane_;
  Bits live_ = 0;
  float next_row_[kHeld] = {};
  float weights_[kHeld] = {};
};

}  // namespace tovamill::cuda::eviction_scan
