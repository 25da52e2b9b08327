// The scan: which token dies after each query of a tile. A thread block takes a tile (a group of
// it, where each KV head decides on its own) and walks its queries one after another; nothing but
// the scores is read, nothing waits for the rest of the GPU. A warp takes every kScanWarps-th head:
// it finds the highest score among the living, the sum of the exponentials and adds the weights of
// its heads up, a column a lane, while the row it takes next is on its way; then the block adds the
// warps' sums in order, lets the policy remember, and finds the one that leaves.
//
// Work of a query: heads * columns exponentials and as many reads of 4 bytes, each score of the
// living once (32 heads, 768 columns: 98 KB, 1,536 clocks of an SM's special function units at 16 a
// clock, and some 2,000 of its four schedulers), and two barriers and two reductions.
#include <type_traits>

#include "kernels/cuda/attention/attention_kernels.h"
#include "kernels/cuda/device/warp.h"

namespace tovamill::cuda {
namespace {

constexpr int kThreads = kScanWarps * kLanes;
// Columns a lane holds of a row in registers, of which a thread has 128; rows beyond are read
// three times.
constexpr int kMostInRegisters = 36;
// The same where the next row has registers, too.
constexpr int kMostAhead = 24;
// Columns whose sums stand in shared memory: 16 warps * 4 bytes each.
constexpr std::int32_t kMostShared = 1536;

// A block's place: what it reads and writes, in few registers.
struct ScanPlace {
  const ScanArguments& a;
  std::int32_t *death, *positions;
  std::int64_t list;   // in the numbers of a group's queries
  std::int32_t n_row;  // numbers from one array of the state's columns to the next

  __device__ ScanPlace(const ScanArguments& arguments, const TileInfo& tile, std::int32_t slot,
                       std::int32_t group)
      : a(arguments), death(a.scratch.deaths(slot, group, a.shape.n_eviction_groups)) {
    const LayerView layer(tile.state, a.layout, tile.capacity, a.layer);
    positions = layer.positions(group);
    list =
        (static_cast<std::int64_t>(slot) * a.shape.n_eviction_groups + group) * kRopeSegmentTokens;
    n_row =
        static_cast<std::int32_t>(reinterpret_cast<std::int32_t*>(layer.memory(group)) - positions);
  }
  __device__ bool remembers() const { return a.layout.remembers; }
  __device__ bool averages() const { return a.layout.averages; }
  __device__ float& memory(std::int32_t j) const { return array(1)[j]; }
  __device__ float& decay_power(std::int32_t j) const { return array(2)[j]; }
  __device__ float value_norm(std::int32_t j) const { return array(3)[j]; }
  __device__ void evict(std::int32_t step, std::int32_t column, float weight) const {
    a.scratch.evicted[list + step] = column;
    if (column >= 0) a.scratch.evicted_weight[list + step] = weight;
  }

 private:
  __device__ float* array(std::int32_t i) const {
    return reinterpret_cast<float*>(positions + static_cast<std::int64_t>(i) * n_row);
  }
};

// Of the columns c * kLanes + lane that a lane has, bit c is one that it reads.
template <int kColumns>
using ColumnBits = std::conditional_t<(kColumns <= 32), std::uint32_t, std::uint64_t>;
template <class Bits>
__device__ Bits column_bit(std::int32_t column) {
  constexpr int kMost = 8 * static_cast<int>(sizeof(Bits));
  const auto lane = static_cast<std::int32_t>(threadIdx.x % kLanes);
  return column % kLanes == lane ? Bits{1} << column / kLanes % kMost : 0;
}

// The scores of the living, -inf in place of others.
template <int kColumns>
__device__ void read_row(const float* scores, ColumnBits<kColumns> living, float (&x)[kColumns]) {
  const auto lane = static_cast<std::int32_t>(threadIdx.x % kLanes);
#pragma unroll
  for (int c = 0; c < kColumns; ++c)
    x[c] = (living >> c & 1u) != 0 ? scores[c * kLanes + lane] : -INFINITY;
}

// Columns whose positions are at or below are not seen.
template <int kColumns>
__device__ void hide(const std::int32_t* positions, std::int64_t hidden_below,
                     ColumnBits<kColumns> living, float (&x)[kColumns]) {
  const auto lane = static_cast<std::int32_t>(threadIdx.x % kLanes);
#pragma unroll
  for (int c = 0; c < kColumns; ++c) {
    if ((living >> c & 1u) != 0 && positions[c * kLanes + lane] <= hidden_below) x[c] = -INFINITY;
  }
}

// A row's highest score and 1 / the sum of its exponentials; what each column weighs is added to
// `weights`. Where no column is visible, all weigh nothing; where a score is no number, none is.
template <int kColumns>
__device__ void weigh_row(float (&x)[kColumns], float (&weights)[kColumns], float& highest,
                          float& scale) {
  float top = -INFINITY, sum = 0.0f;
#pragma unroll
  for (int c = 0; c < kColumns; ++c) top = fmaxf(top, x[c]);  // of the numbers
  highest = warp_max(top);
  if (highest == -INFINITY) {
#pragma unroll
    for (int c = 0; c < kColumns; ++c) sum += x[c] != x[c] ? x[c] : 0.0f;
    scale = warp_sum(sum);  // 0, or no number
#pragma unroll
    for (int c = 0; c < kColumns; ++c) weights[c] += scale;
    return;
  }
  const float shift = softmax_shift(highest);
#pragma unroll
  for (int c = 0; c < kColumns; ++c) {
    x[c] = softmax_term(x[c], shift);
    sum += x[c];
  }
  scale = 1.0f / warp_sum(sum);
#pragma unroll
  for (int c = 0; c < kColumns; ++c) weights[c] = fmaf(x[c], scale, weights[c]);
}

// The same of any number `n` of columns; `weights` are of all of them.
__device__ void weigh_long_row(const float* scores, const ScanPlace& place, bool hides,
                               std::int64_t hidden_below, std::int32_t n, float* weights,
                               float& highest, float& scale) {
  const auto lane = static_cast<std::int32_t>(threadIdx.x % kLanes);
  const auto at = [&](std::int32_t j) {
    if (place.death[j] != kAlive) return -INFINITY;
    return hides && place.positions[j] <= hidden_below ? -INFINITY : scores[j];
  };
  float top = -INFINITY;
  for (std::int32_t j = lane; j < n; j += kLanes) {
    const float x = at(j);
    top = (x > top || x != x) ? x : top;
  }
  highest = warp_max(top);
  if (highest == -INFINITY) {
    scale = 0.0f;
    return;
  }
  const float shift = softmax_shift(highest);
  float sum = 0.0f;
  for (std::int32_t j = lane; j < n; j += kLanes) sum += softmax_term(at(j), shift);
  scale = 1.0f / warp_sum(sum);
  for (std::int32_t j = lane; j < n; j += kLanes)
    weights[j] = fmaf(softmax_term(at(j), shift), scale, weights[j]);
}

// A thread's columns j = thread, thread + kThreads, ...: adds the warps' sums up, lets the policy
// remember, and finds which of them leaves first, where one is to leave; `best_weight` is its.
__device__ Candidate first_of_thread(const ScanPlace& place, const DecisionRule& rule,
                                     const float* partial, std::int32_t ld, std::int32_t n_heads,
                                     std::int32_t n, const Decision& decision, bool is_full,
                                     float& best_weight) {
  const float share = 1.0f / static_cast<float>(n_heads);
  Candidate best = no_candidate();
  for (auto j = static_cast<std::int32_t>(threadIdx.x); j < n; j += kThreads) {
    float weight = 0.0f;
#pragma unroll
    for (int w = 0; w < kScanWarps; ++w) {
      if (w < n_heads) weight += partial[static_cast<std::int64_t>(w) * ld + j];
    }
    weight *= share;
    if (place.death[j] != kAlive) continue;
    TokenMemory kept;
    if (place.remembers()) {
      kept.sum = place.memory(j);
      if (place.averages()) {
        kept.decay_power = place.decay_power(j);
        kept.value_norm = place.value_norm(j);
      }
      remember(rule, weight, kept);
      place.memory(j) = kept.sum;
      if (place.averages()) place.decay_power(j) = kept.decay_power;
    }
    if (!is_full || !may_leave(rule, place.positions[j], decision.now)) continue;
    const Candidate c{score_of(rule, decision, {weight, place.positions[j], kept}),
                      place.positions[j], j};
    if (!leaves_before(c, best)) continue;
    best = c;
    best_weight = weight;
  }
  return best;
}

template <int kColumns>
__global__ void __launch_bounds__(kThreads, 1) scan_kernel(ScanArguments a) {
  constexpr bool kInRegisters = kColumns > 0, kAhead = kInRegisters && kColumns <= kMostAhead;
  constexpr int kHeld = kInRegisters ? kColumns : 1;
  using Bits = ColumnBits<kHeld>;
  TOVAMILL_DYNAMIC_SHARED(shared_bytes);
  __shared__ Candidate candidates[kScanWarps];
  const auto slot = static_cast<std::int32_t>(blockIdx.x),
             group = static_cast<std::int32_t>(blockIdx.y);
  const auto thread = static_cast<std::int32_t>(threadIdx.x);
  const std::int32_t warp = thread / kLanes, lane = thread % kLanes;
  const TileInfo& tile = a.tiles[slot];
  const DecisionRule& rule = tile.rule;
  const std::int32_t ld = a.scratch.ld, n_heads = a.shape.heads_per_group, n_state = tile.n_state,
                     n_steps = tile.n_steps, sliding_window = a.shape.sliding_window;
  const std::int64_t first_head =
      static_cast<std::int64_t>(slot) * a.shape.n_heads + group * n_heads;
  const ScanPlace place(a, tile, slot, group);
  float* partial = reinterpret_cast<float*>(shared_bytes);  // (kScanWarps, ld)
  if (!kInRegisters && a.partial != nullptr)
    partial = a.partial + (static_cast<std::int64_t>(slot) * a.shape.n_eviction_groups + group) *
                              kScanWarps * ld;
  float* own = partial + static_cast<std::int64_t>(warp) * ld;
  const auto row = [&](std::int32_t head, std::int32_t step) {
    return a.scratch.scores + ((first_head + head) * kRopeSegmentTokens + step) * ld;
  };
  for (std::int32_t j = thread; j < ld; j += kThreads)
    place.death[j] = j < n_state + n_steps ? kAlive : -1;
  if (!kInRegisters) __syncthreads();

  Bits living = 0;
#pragma unroll
  for (int c = 0; kInRegisters && c < kColumns; ++c)
    living |= c * kLanes + lane < n_state ? Bits{1} << c : 0;
  float ahead[kHeld] = {};  // the warp's next row
  if constexpr (kAhead) {
    if (warp < n_heads) read_row(row(warp, 0), living | column_bit<Bits>(n_state), ahead);
  }
  std::int32_t n_living = n_state;
  for (std::int32_t step = 0; step < n_steps; ++step) {
    const std::int32_t n = n_state + step + 1,
                       position = static_cast<std::int32_t>(tile.position) + step;
    const std::int64_t hidden_below = static_cast<std::int64_t>(position) - sliding_window;
    living |= column_bit<Bits>(n - 1);
    ++n_living;
    const bool is_full = n_living > rule.cache_size, decides = is_full || place.remembers();
    float weights[kHeld] = {};
    if (!kInRegisters && warp < n_heads) {
      for (std::int32_t j = lane; j < n; j += kLanes) own[j] = 0.0f;
    }
    const auto keep = [&](std::int32_t h, float highest, float scale) {
      if (lane != 0) return;
      const std::int64_t at = (first_head + h) * kRopeSegmentTokens + step;
      a.scratch.row_max[at] = highest;
      a.scratch.row_scale[at] = scale;
    };
    for (std::int32_t h = warp; h < n_heads; h += kScanWarps) {
      float highest = 0.0f, scale = 0.0f;
      if constexpr (kInRegisters) {
        float x[kHeld];
        if constexpr (kAhead) {
#pragma unroll
          for (int c = 0; c < kHeld; ++c) x[c] = ahead[c];
          const bool is_last = h + kScanWarps >= n_heads;
          const Bits next = is_last ? living | column_bit<Bits>(n) : living;
          if (!is_last || step + 1 < n_steps)
            read_row(is_last ? row(warp, step + 1) : row(h + kScanWarps, step), next, ahead);
        } else {
          read_row(row(h, step), living, x);
        }
        if (sliding_window > 0) hide(place.positions, hidden_below, living, x);
        weigh_row(x, weights, highest, scale);
      } else {
        weigh_long_row(row(h, step), place, sliding_window > 0, hidden_below, n, own, highest,
                       scale);
      }
      keep(h, highest, scale);
    }
    if (thread == 0 && !is_full) place.evict(step, -1, 0.0f);
    if (!decides) continue;
#pragma unroll
    for (int c = 0; kInRegisters && c < kColumns; ++c) {
      if (c * kLanes + lane < n && warp < n_heads) own[c * kLanes + lane] = weights[c];
    }
    __syncthreads();
    float best_weight = 0.0f;
    Candidate best = first_of_thread(place, rule, partial, ld, n_heads, n,
                                     {position, a.layer, group}, is_full, best_weight);
    if (is_full) {
      best = warp_first(best);
      if (lane == 0) candidates[warp] = best;
    }
    // Nobody adds to the sums of the next query before all have read those of this one.
    __syncthreads();
    if (!is_full) continue;
    best = warp_first(lane < kScanWarps ? candidates[lane] : no_candidate());
    if (best.column < 0) {
      if (thread == 0) place.evict(step, -1, 0.0f);
      continue;
    }
    --n_living;
    const Bits dead = column_bit<Bits>(best.column);
    living &= ~dead;
    if constexpr (kAhead) {
#pragma unroll
      for (int c = 0; c < kHeld; ++c) ahead[c] = (dead >> c & 1u) != 0 ? -INFINITY : ahead[c];
    }
    if (best.column % kThreads == thread) {  // whose first that was
      place.death[best.column] = step;
      place.evict(step, best.column, best_weight);
    }
    if (!kInRegisters) __syncthreads();  // all warps read who died
  }
}

// A few blocks that run long. Behind all blocks of the other lane's product they would begin late,
// and that lane's next product find the GPU empty meanwhile.
template <int kColumns>
void launch_scan(const ScanArguments& a, std::int32_t n_tiles, const Stream& stream) {
  const std::size_t bytes =
      a.partial != nullptr ? 0
                           : static_cast<std::size_t>(a.scratch.ld) * kScanWarps * sizeof(float);
  launch(scan_kernel<kColumns>, "scan",
         {.blocks = dim3(static_cast<unsigned>(n_tiles),
                         static_cast<unsigned>(a.shape.n_eviction_groups)),
          .threads = dim3(kThreads),
          .shared_bytes = bytes,
          .goes_first = true},
         stream, a);
}

}  // namespace

std::size_t scan_partial_bytes(const AttentionShape& shape, std::int32_t n_tiles, std::int32_t ld) {
  if (ld <= kMostShared) return 0;
  return static_cast<std::size_t>(n_tiles) * static_cast<std::size_t>(shape.n_eviction_groups) *
         kScanWarps * static_cast<std::size_t>(ld) * sizeof(float);
}

void scan_tiles(const ScanArguments& a, std::int32_t n_tiles, const Stream& stream) {
  const std::int32_t columns = a.scratch.ld / kLanes;
  if (columns <= 12) return launch_scan<12>(a, n_tiles, stream);
  if (columns <= 24) return launch_scan<24>(a, n_tiles, stream);
  if (columns <= kMostInRegisters) return launch_scan<kMostInRegisters>(a, n_tiles, stream);
  launch_scan<0>(a, n_tiles, stream);
}

}  // namespace tovamill::cuda
