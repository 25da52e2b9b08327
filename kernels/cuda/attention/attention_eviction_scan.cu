// The eviction scan: which token is evicted after each query of a tile (TOVA; Oren et al. 2024,
// arXiv:2401.06104, Algorithm 1, and the other policies that decide by weights). For query t, over
// the slots j that are live,
//   weight[j] = mean over the heads of softmax(scores[head][t])[j]
// goes to the policy, and the slot with the lowest score of the policy is evicted where the state
// is full.
//
// Mapping: a thread block takes an eviction group of a tile and walks its queries one after
// another; nothing but the scores is read, nothing waits for the rest of the GPU. A warp takes
// every kScanWarps-th head: it finds the maximum of the live scores, the sum of the exponentials
// and adds the weights of its heads up, a slot a lane, while the row it takes next is on its way;
// then the block adds the warps' sums in order, lets the policy remember, and finds the one to
// evict.
//
// Work of a query: heads * slots exponentials and as many reads of 4 bytes, each live score once
// (32 heads, 768 slots: 98 KB, 1,536 clocks of an SM's special function units at 16 a clock, and
// some 2,000 of its four schedulers), and two barriers and two reductions.
#include "kernels/cuda/attention/attention_kernels.h"
#include "kernels/cuda/attention/eviction_scan_rows.h"
#include "kernels/cuda/device/warp.h"

namespace tovamill::cuda {
namespace {

using eviction_scan::ScannedGroup;
using eviction_scan::WarpHeads;

constexpr int kThreads = kScanWarps * kLanes;
// Slots whose sums stand in shared memory: 16 warps * 4 bytes each.
constexpr std::int32_t kMaxShared = 1536;

// The weight of slot j: the mean over the group's heads of `partial` (kScanWarps, ld), whose warps'
// sums are added in order.
__device__ float mean_weight(const float* partial, std::int32_t ld, std::int32_t n_heads,
                             std::int32_t j) {
  float weight = 0.0f;
#pragma unroll
  for (int w = 0; w < kScanWarps; ++w) {
    if (w < n_heads) weight += partial[static_cast<std::int64_t>(w) * ld + j];
  }
  return weight * (1.0f / static_cast<float>(n_heads));
}

// What the policy keeps of slot j, after the query that gave it `weight`.
__device__ TokenMemory remember_weight(const ScannedGroup& g, std::int32_t j, float weight) {
  TokenMemory kept;
  if (!g.remembers()) return kept;
  kept.sum = g.memory(j);
  if (g.averages()) {
    kept.decay_power = g.decay_power(j);
    kept.value_norm = g.value_norm(j);
  }
  remember(g.tile.rule, weight, kept);
  g.memory(j) = kept.sum;
  if (g.averages()) g.decay_power(j) = kept.decay_power;
  return kept;
}

// Goes over a thread's slots j = thread, thread + kThreads, ... of `n`: lets the policy remember,
// and finds which of them leaves first, where one is to leave; `best_weight` is its.
__device__ Candidate first_of_thread(const ScannedGroup& g, const float* partial, std::int32_t n,
                                     const Decision& decision, bool is_full, float& best_weight) {
  Candidate best = no_candidate();
  for (auto j = static_cast<std::int32_t>(threadIdx.x); j < n; j += kThreads) {
    const float weight = mean_weight(partial, g.a.scratch.ld, g.n_heads, j);
    if (g.eviction_step[j] != kLive) continue;
    const TokenMemory kept = remember_weight(g, j, weight);
    if (!is_full || !may_leave(g.tile.rule, g.positions[j], decision.now)) continue;
    const Candidate c{score_of(g.tile.rule, decision, {weight, g.positions[j], kept}),
                      g.positions[j], j};
    if (!leaves_before(c, best)) continue;
    best = c;
    best_weight = weight;
  }
  return best;
}

// Decides by the weights of all warps, once they have stored them: the slot that `query` evicts, in
// all threads; -1 where the state is not full, or all its tokens are protected.
__device__ std::int32_t decide(const ScannedGroup& g, const float* partial, std::int32_t query,
                               bool is_full, Candidate* candidates) {
  const auto thread = static_cast<std::int32_t>(threadIdx.x);
  const std::int32_t warp = thread / kLanes, lane = thread % kLanes;
  __syncthreads();
  float best_weight = 0.0f;
  const Decision decision{static_cast<std::int32_t>(g.tile.position) + query,
                          g.a.shape.first_layer + g.a.layer, static_cast<std::int32_t>(blockIdx.y)};
  Candidate best =
      first_of_thread(g, partial, g.tile.n_state + query + 1, decision, is_full, best_weight);
  if (is_full) {
    best = warp_first(best);
    if (lane == 0) candidates[warp] = best;
  }
  // Nobody adds to the sums of the next query before all have read those of this one.
  __syncthreads();
  if (!is_full) return -1;
  best = warp_first(lane < kScanWarps ? candidates[lane] : no_candidate());
  if (best.slot < 0) {
    if (thread == 0) g.record_eviction(query, -1, 0.0f);
    return -1;
  }
  if (best.slot % kThreads == thread) {  // whose first that was
    g.eviction_step[best.slot] = query;
    g.record_eviction(query, best.slot, best_weight);
  }
  return best.slot;
}

// Blocks of an SM that are asked of the compiler: two where rows stay in memory, else as many
// numbers in registers as a block may have.
template <int kSlots>
constexpr int kBlocksOfSm = kSlots == 0 ? 2 : 1;

// Grid: tiles, eviction groups.
template <int kSlots>
__global__ void __launch_bounds__(kThreads, kBlocksOfSm<kSlots>)
    eviction_scan_kernel(EvictionScanArguments a) {
  constexpr bool kInRegisters = WarpHeads<kSlots>::kInRegisters;
  TOVAMILL_DYNAMIC_SHARED(shared_bytes);
  __shared__ Candidate candidates[kScanWarps];
  const auto tile_index = static_cast<std::int32_t>(blockIdx.x),
             group = static_cast<std::int32_t>(blockIdx.y);
  const auto thread = static_cast<std::int32_t>(threadIdx.x);
  const ScannedGroup g(a, tile_index, group);
  const std::int32_t ld = a.scratch.ld, n_state = g.tile.n_state, n_queries = g.tile.n_queries;
  float* partial = reinterpret_cast<float*>(shared_bytes);  // (kScanWarps, ld)
  if (!kInRegisters && a.partial != nullptr)
    partial =
        a.partial + (static_cast<std::int64_t>(tile_index) * a.shape.n_eviction_groups + group) *
                        kScanWarps * ld;
  for (std::int32_t j = thread; j < ld; j += kThreads)
    g.eviction_step[j] = j < n_state + n_queries ? kLive : -1;
  if (!kInRegisters) __syncthreads();

  WarpHeads<kSlots> heads(g, partial + static_cast<std::int64_t>(thread / kLanes) * ld);
  std::int32_t n_live = n_state;
  for (std::int32_t query = 0; query < n_queries; ++query) {
    ++n_live;
    const std::int32_t n = n_state + query + 1;
    const bool is_full = n_live > g.tile.rule.cache_size;
    heads.add_query(query, n);
    if (thread == 0 && !is_full) g.record_eviction(query, -1, 0.0f);
    if (!is_full && !g.remembers()) continue;
    heads.store_weights(n);
    const std::int32_t evicted = decide(g, partial, query, is_full, candidates);
    if (evicted < 0) continue;
    --n_live;
    heads.evict(evicted);
    if (!kInRegisters) __syncthreads();  // all warps read which slots are live
  }
}

// A few blocks that run long. Behind all blocks of another step's GEMM they would begin late, and
// that step's next GEMM would find the GPU empty meanwhile.
template <int kSlots>
void launch_scan(const EvictionScanArguments& a, std::int32_t n_tiles, const Stream& stream) {
  const std::size_t bytes =
      a.partial != nullptr ? 0
                           : static_cast<std::size_t>(a.scratch.ld) * kScanWarps * sizeof(float);
  launch(eviction_scan_kernel<kSlots>, "eviction_scan",
         {.blocks = dim3(static_cast<unsigned>(n_tiles),
                         static_cast<unsigned>(a.shape.n_eviction_groups)),
          .threads = dim3(kThreads),
          .shared_bytes = bytes,
          .goes_first = true},
         stream, a);
}

}  // namespace

std::size_t scan_partial_bytes(const AttentionShape& shape, std::int32_t n_tiles, std::int32_t ld) {
  if (ld <= kMaxShared) return 0;
  return static_cast<std::size_t>(n_tiles) * static_cast<std::size_t>(shape.n_eviction_groups) *
         kScanWarps * static_cast<std::size_t>(ld) * sizeof(float);
}

void scan_evictions(const EvictionScanArguments& a, std::int32_t n_tiles, const Stream& stream) {
  constexpr int kMax = eviction_scan::kMaxInRegisters;
  const std::int32_t slots_of_lane = a.scratch.ld / kLanes;
  if (slots_of_lane <= 12) return launch_scan<12>(a, n_tiles, stream);
  if (slots_of_lane <= 24) return launch_scan<24>(a, n_tiles, stream);
  if (slots_of_lane <= kMax) return launch_scan<kMax>(a, n_tiles, stream);
  launch_scan<0>(a, n_tiles, stream);
}

}  // namespace tovamill::cuda
