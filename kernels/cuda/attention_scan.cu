// The scan: which token dies after each query of a tile. A thread block takes a tile (a group of
// it, where each KV head decides on its own) and walks its queries one after another; nothing but
// the scores is read, nothing waits for the rest of the GPU. A warp takes every kScanWarps-th head:
// it finds the highest score among the living, the sum of the exponentials and adds the weights to
// sums of its own, a column a lane; then the block adds the warps' sums in order, lets the policy
// remember, and finds the one that leaves.
//
// Work of a query: heads * columns exponentials and as many reads of 4 bytes, each score once (32
// heads, 768 columns: 98 KB, 1,536 clocks of an SM's special function units at 16 a clock), and
// two barriers and two reductions.
#include "kernels/cuda/attention_kernels.h"
#include "kernels/cuda/warp.h"

namespace tovamill::cuda {
namespace {

constexpr int kThreads = kScanWarps * kLanes;
// Columns a lane holds of a row in registers; rows beyond are read twice. Two blocks of an SM are
// asked of the compiler where 64 registers do; otherwise one, so that it needs no local memory.
constexpr int kMostInRegisters = 36;
// Columns whose sums stand in shared memory: 16 warps * 4 bytes each.
constexpr std::int32_t kMostShared = 1536;

// The row of one query and head. A lane has the columns c * kLanes + lane.
struct RowPlace {
  const float* scores;
  std::uint64_t living;           // bit c: the lane's column c lives; where rows stand in registers
  const std::int32_t* death;      // kAlive: lives; where they do not
  const std::int32_t* positions;  // null: all are visible
  std::int64_t hidden_below;      // positions at or below are not
  std::int32_t n;                 // columns there are

  __device__ float visible(std::int32_t j) const {
    return positions != nullptr && positions[j] <= hidden_below ? -INFINITY : scores[j];
  }
};

// A row's highest score and 1 / the sum of its exponentials; what each column weighs is added to
// `sums`. Where no column is visible, all weigh nothing; where a score is no number, none is.
template <int kColumns>
__device__ void weigh_row(const RowPlace& row, float* sums, float& highest, float& scale) {
  const auto lane = static_cast<std::int32_t>(threadIdx.x % kLanes);
  float x[kColumns];
  float top = -INFINITY;
#pragma unroll
  for (int c = 0; c < kColumns; ++c) {
    const std::int32_t j = c * kLanes + lane;
    x[c] = j < row.n && (row.living >> c & 1u) != 0 ? row.visible(j) : -INFINITY;
  }
#pragma unroll
  for (int c = 0; c < kColumns; ++c) top = (x[c] > top || x[c] != x[c]) ? x[c] : top;
  highest = warp_max(top);
  if (highest == -INFINITY) {
    scale = 0.0f;
    return;
  }
  const float shift = softmax_shift(highest);
  float sum = 0.0f;
#pragma unroll
  for (int c = 0; c < kColumns; ++c) {
    x[c] = softmax_term(x[c], shift);
    sum += x[c];
  }
  scale = 1.0f / warp_sum(sum);
#pragma unroll
  for (int c = 0; c < kColumns; ++c) {
    if (c * kLanes + lane < row.n) sums[c * kLanes + lane] += x[c] * scale;
  }
}

// The same of any number of columns.
template <>
__device__ void weigh_row<0>(const RowPlace& row, float* sums, float& highest, float& scale) {
  const auto lane = static_cast<std::int32_t>(threadIdx.x % kLanes);
  const auto at = [&](std::int32_t j) {
    return row.death[j] == kAlive ? row.visible(j) : -INFINITY;
  };
  float top = -INFINITY;
  for (std::int32_t j = lane; j < row.n; j += kLanes) {
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
  for (std::int32_t j = lane; j < row.n; j += kLanes) sum += softmax_term(at(j), shift);
  scale = 1.0f / warp_sum(sum);
  for (std::int32_t j = lane; j < row.n; j += kLanes) sums[j] += softmax_term(at(j), shift) * scale;
}

template <int kColumns>
__global__ void __launch_bounds__(kThreads, kColumns == 12 ? 2 : 1) scan_kernel(ScanArguments a) {
  TOVAMILL_DYNAMIC_SHARED(shared_bytes);
  __shared__ Candidate candidates[kScanWarps];
  const auto slot = static_cast<std::int32_t>(blockIdx.x),
             group = static_cast<std::int32_t>(blockIdx.y);
  const auto thread = static_cast<std::int32_t>(threadIdx.x);
  const std::int32_t warp = thread / kLanes, lane = thread % kLanes;
  const TileInfo& tile = a.tiles[slot];
  const AttentionShape& shape = a.shape;
  const std::int32_t ld = a.scratch.ld, first_head = group * shape.heads_per_group;
  const std::int64_t tile_group = static_cast<std::int64_t>(slot) * shape.n_groups + group;
  const LayerView layer(tile.state, a.layout, tile.capacity, a.layer);
  const std::int32_t* positions = layer.positions(group);
  std::int32_t* death = a.scratch.deaths(slot, group, shape.n_groups);
  std::int32_t* evicted = a.scratch.evicted + tile_group * kGroupTokens;
  float* evicted_weight = a.scratch.evicted_weight + tile_group * kGroupTokens;
  float* memory = a.layout.remembers ? layer.memory(group) : nullptr;
  float* decay_power = a.layout.averages ? layer.decay_power(group) : nullptr;
  const float* value_norm = a.layout.averages ? layer.value_norm(group) : nullptr;
  float* partial = a.partial != nullptr ? a.partial + tile_group * kScanWarps * ld
                                        : reinterpret_cast<float*>(shared_bytes);
  const float share = 1.0f / static_cast<float>(shape.heads_per_group);

  for (std::int32_t j = thread; j < ld; j += kThreads)
    death[j] = j < tile.n_columns() ? kAlive : -1;
  for (std::int32_t j = thread; j < kScanWarps * ld; j += kThreads) partial[j] = 0.0f;
  __syncthreads();
  std::int32_t n_living = tile.n_state;
  std::uint64_t living = ~std::uint64_t{0};
  for (std::int32_t step = 0; step < tile.n_steps; ++step) {
    const std::int32_t n = tile.n_state + step + 1;
    const auto position = static_cast<std::int32_t>(tile.position) + step;
    ++n_living;
    const bool is_full = n_living > tile.rule.cache_size;
    const bool decides = is_full || memory != nullptr;
    for (std::int32_t h = warp; h < shape.heads_per_group; h += kScanWarps) {
      const std::int32_t head = first_head + h;
      const RowPlace row{a.scratch.scores + a.scratch.score_row(slot, head, step, shape.n_heads),
                         living,
                         death,
                         shape.sliding_window > 0 ? positions : nullptr,
                         static_cast<std::int64_t>(position) - shape.sliding_window,
                         n};
      float highest = 0.0f, scale = 0.0f;
      weigh_row<kColumns>(row, partial + static_cast<std::int64_t>(warp) * ld, highest, scale);
      if (lane == 0) {
        const std::int64_t at =
            (static_cast<std::int64_t>(slot) * shape.n_heads + head) * kGroupTokens + step;
        a.scratch.row_max[at] = highest;
        a.scratch.row_scale[at] = scale;
      }
    }
    __syncthreads();
    Candidate best = no_candidate();
    for (std::int32_t j = thread; j < n; j += kThreads) {
      float weight = 0.0f;
      for (int w = 0; w < kScanWarps && w < shape.heads_per_group; ++w) {
        float& sum = partial[static_cast<std::int64_t>(w) * ld + j];
        weight += sum;
        sum = 0.0f;
      }
      weight *= share;
      if (!decides || death[j] != kAlive) continue;
      TokenMemory kept;
      if (memory != nullptr) {
        kept.sum = memory[j];
        if (decay_power != nullptr) {
          kept.decay_power = decay_power[j];
          kept.value_norm = value_norm[j];
        }
        remember(tile.rule, weight, kept);
        memory[j] = kept.sum;
        if (decay_power != nullptr) decay_power[j] = kept.decay_power;
      }
      if (!is_full || !may_leave(tile.rule, positions[j], position)) continue;
      const Candidate c{score_of(tile.rule, weight, kept), positions[j], j};
      if (leaves_before(c, best)) best = c;
      // What its weight is, should it leave: the place is free until the next query.
      partial[j] = weight;
    }
    if (is_full) {
      best = warp_first(best);
      if (lane == 0) candidates[warp] = best;
    }
    __syncthreads();
    if (is_full) {
      best = candidates[0];
      for (int w = 1; w < kScanWarps; ++w) {
        if (leaves_before(candidates[w], best)) best = candidates[w];
      }
      n_living -= best.column >= 0 ? 1 : 0;
      if (best.column >= 0 && best.column % kLanes == lane)
        living &= ~(std::uint64_t{1} << (best.column / kLanes % 64));
      if (thread == 0) {
        evicted[step] = best.column;
        if (best.column >= 0) {
          death[best.column] = step;
          evicted_weight[step] = partial[best.column];
        }
      }
      __syncthreads();
      for (std::int32_t j = thread; j < n; j += kThreads) partial[j] = 0.0f;
    } else if (thread == 0) {
      evicted[step] = -1;
    }
    __syncthreads();
  }
}

template <int kColumns>
void launch_scan(const ScanArguments& a, std::int32_t n_tiles, const Stream& stream) {
  const std::size_t bytes =
      a.partial != nullptr ? 0
                           : static_cast<std::size_t>(a.scratch.ld) * kScanWarps * sizeof(float);
  launch(scan_kernel<kColumns>, "scan",
         {.blocks = dim3(static_cast<unsigned>(n_tiles), static_cast<unsigned>(a.shape.n_groups)),
          .threads = dim3(kThreads),
          .shared_bytes = bytes},
         stream, a);
}

}  // namespace

std::size_t scan_partial_bytes(const AttentionShape& shape, std::int32_t n_tiles, std::int32_t ld) {
  if (ld <= kMostShared) return 0;
  return static_cast<std::size_t>(n_tiles) * static_cast<std::size_t>(shape.n_groups) * kScanWarps *
         static_cast<std::size_t>(ld) * sizeof(float);
}

void scan_tiles(const ScanArguments& a, std::int32_t n_tiles, const Stream& stream) {
  const std::int32_t columns = a.scratch.ld / kLanes;
  if (columns <= 12) return launch_scan<12>(a, n_tiles, stream);
  if (columns <= 24) return launch_scan<24>(a, n_tiles, stream);
  if (columns <= kMostInRegisters) return launch_scan<kMostInRegisters>(a, n_tiles, stream);
  launch_scan<0>(a, n_tiles, stream);
}

}  // namespace tovamill::cuda
