// What happens to states around a tile: its tokens join, keys are rotated anew where their
// positions change, survivors move together.
//
// Bytes a layer: joining reads the projections of a row (4 (q + 2 kv)) and writes its query (2 q)
// and 3 kv numbers; rotating anew reads and writes each key of the state once, every 256 tokens
// beyond the clip distance; moving together reads and writes at most as many tokens as left.
#include "kernels/cuda/attention/attention_kernels.h"
#include "kernels/cuda/device/warp.h"

namespace tovamill::cuda {
namespace {

constexpr unsigned kThreads = 256;

// Writes in * cos/sin of `angles` (cosines, then sines, half each), (i, i + half) a pair, by one
// warp, kWidth pairs a lane; `factor` and `weight` (or null) first.
template <class T, int kWidth>
__device__ void rotate_head(const float* in, const float* angles, std::int32_t half, float factor,
                            const float* weight, T* rotated, T* unrotated) {
#pragma unroll 1  // most heads take one turn
  for (auto i = static_cast<std::int32_t>(threadIdx.x % kLanes) * kWidth; i < half;
       i += kLanes * kWidth) {
    auto a = read_pack<float, kWidth>(in + i), b = read_pack<float, kWidth>(in + half + i);
    const auto c = read_pack<float, kWidth>(angles + i),
               s = read_pack<float, kWidth>(angles + half + i);
    Pack<T, kWidth> left, right;
#pragma unroll
    for (int e = 0; e < kWidth; ++e) {
      if (weight != nullptr) {
        a.at[e] *= factor * weight[i + e];
        b.at[e] *= factor * weight[half + i + e];
      }
      left.at[e] = from_float<T>(a.at[e] * c.at[e] - b.at[e] * s.at[e]);
      right.at[e] = from_float<T>(b.at[e] * c.at[e] + a.at[e] * s.at[e]);
    }
    write_pack(rotated + i, left);
    write_pack(rotated + half + i, right);
    if (unrotated == nullptr) continue;
#pragma unroll
    for (int e = 0; e < kWidth; ++e) {
      left.at[e] = from_float<T>(a.at[e]);
      right.at[e] = from_float<T>(b.at[e]);
    }
    write_pack(unrotated + i, left);
    write_pack(unrotated + half + i, right);
  }
}

// 1 / rms of a head, in all lanes.
__device__ float inverse_rms(const float* head, std::int32_t n, float eps) {
  float sum = 0.0f;
  for (std::int32_t i = static_cast<std::int32_t>(threadIdx.x % kLanes); i < n; i += kLanes)
    sum += head[i] * head[i];
  return 1.0f / sqrtf(warp_sum(sum) / static_cast<float>(n) + eps);
}

// A block of threads takes a row of the step, a warp one of its heads at a time: queries, keys with
// values, and last what the policy keeps of the token.
template <class T, int kWidth>
__global__ void __launch_bounds__(kThreads, 4) join_kernel(JoinArguments<T> a) {
  const auto row = static_cast<std::int32_t>(blockIdx.x);
  const std::int32_t tile_index = a.row_tile[row];
  if (tile_index < a.first || tile_index >= a.end) return;
  const TileInfo& tile = a.tiles[tile_index];
  const AttentionShape& shape = a.shape;
  const std::int32_t d = shape.head_dim, half = d / 2, column = tile.n_state + row - tile.first_row;
  const auto lane = static_cast<std::int32_t>(threadIdx.x % kLanes);
  const LayerView layer(tile.state, a.layout, tile.capacity, a.layer);
  const float* qkv = a.qkv + static_cast<std::int64_t>(row) * shape.qkv_size();
  const float* angles = a.angles + static_cast<std::int64_t>(row) * d;
  for (auto slot = static_cast<std::int32_t>(threadIdx.x / kLanes);
       slot <= shape.n_heads + shape.n_kv_heads;
       slot += static_cast<std::int32_t>(blockDim.x / kLanes)) {
    if (slot < shape.n_heads) {
      const float* q = qkv + slot * d;
      const float factor = a.q_norm != nullptr ? inverse_rms(q, d, shape.eps) : 1.0f;
      T* to = a.queries + static_cast<std::int64_t>(row) * shape.q_size() + slot * d;
      rotate_head<T, kWidth>(q, angles, half, factor, a.q_norm, to, nullptr);
    } else if (slot < shape.n_heads + shape.n_kv_heads) {
      const std::int32_t kv = slot - shape.n_heads;
      const float *k = qkv + shape.q_size() + kv * d, *v = k + shape.kv_size();
      const float factor = a.k_norm != nullptr ? inverse_rms(k, d, shape.eps) : 1.0f;
      const auto place = [&](HeadArray array) {
        return TileRows<T>(layer, tile, tile_index - a.first, kv, array, a.joining).at(column);
      };
      T* unrotated = a.layout.keeps_unrotated ? place(HeadArray::unrotated) : nullptr;
      rotate_head<T, kWidth>(k, angles, half, factor, a.k_norm, place(HeadArray::rotated),
                             unrotated);
      T* values = place(HeadArray::values);
#pragma unroll 2
      for (std::int32_t i = lane * kWidth; i < d; i += kLanes * kWidth) {
        const auto x = read_pack<float, kWidth>(v + i);
        Pack<T, kWidth> y;
#pragma unroll
        for (int e = 0; e < kWidth; ++e) y.at[e] = from_float<T>(x.at[e]);
        write_pack(values + i, y);
      }
    } else {
      float norms = 0.0f;
      for (std::int32_t kv = 0; a.layout.averages && kv < shape.n_kv_heads; ++kv) {
        const float* v = qkv + shape.q_size() + shape.kv_size() + kv * d;
        float sum = 0.0f;
        for (std::int32_t i = lane; i < d; i += kLanes) sum += v[i] * v[i];
        norms += sqrtf(warp_sum(sum));
      }
      for (std::int32_t g = lane; g < shape.n_eviction_groups; g += kLanes) {
        layer.positions(g)[column] =
            static_cast<std::int32_t>(tile.position) + row - tile.first_row;
        if (a.layout.remembers) layer.memory(g)[column] = 0.0f;
        if (!a.layout.averages) continue;
        layer.decay_power(g)[column] = 1.0f;
        layer.value_norm(g)[column] = norms / static_cast<float>(shape.n_kv_heads);
      }
    }
  }
}

// Cosines and sines of the rows' rotary positions, reduced in float64: exact at any position.
__global__ void angles_kernel(const std::int64_t* positions, const double* inv_freq,
                              std::int32_t half, float* angles) {
  const std::int64_t row = blockIdx.x;
  for (auto i = static_cast<std::int32_t>(threadIdx.x); i < half;
       i += static_cast<std::int32_t>(blockDim.x)) {
    double s = 0.0, c = 0.0;
    sincos(static_cast<double>(positions[row]) * inv_freq[i], &s, &c);
    angles[row * 2 * half + i] = static_cast<float>(c);
    angles[row * 2 * half + half + i] = static_cast<float>(s);
  }
}

// A warp takes a column of a group: the cosines and sines once, in float64, for all its KV heads.
template <class T, int kWidth>
__global__ void rotate_again_kernel(RotateArguments a) {
  constexpr int kBatch = 4;  // heads that are read before they are written
  const TileInfo& tile = a.tiles[blockIdx.x];
  if (tile.rotates == 0) return;
  const auto group = static_cast<std::int32_t>(blockIdx.y);
  const auto lane = static_cast<std::int32_t>(threadIdx.x % kLanes);
  const std::int32_t d = a.shape.head_dim, half = d / 2, first_kv = group * a.shape.kv_per_group,
                     end_kv = first_kv + a.shape.kv_per_group;
  const LayerView layer(tile.state, a.layout, tile.capacity, a.layer);
  const std::int32_t* positions = layer.positions(group);
  const auto warps = static_cast<std::int32_t>(gridDim.z * blockDim.x / kLanes);
  for (auto j = static_cast<std::int32_t>((blockIdx.z * blockDim.x + threadIdx.x) / kLanes);
       j < tile.n_state; j += warps) {
    std::int64_t place = positions[j] - tile.rotation;
    if (a.shape.in_state) {  // its rank by age
      std::int32_t older = 0;
      for (std::int32_t i = lane; i < tile.n_state; i += kLanes)
        older += positions[i] < positions[j] ? 1 : 0;
      for (int i = kLanes / 2; i > 0; i /= 2) older += __shfl_xor_sync(kAllLanes, older, i);
      place = older;
    } else if (place < 0) {
      place = 0;
    }
    for (std::int32_t i = lane * kWidth; i < half; i += kLanes * kWidth) {
      float cosines[kWidth], sines[kWidth];
#pragma unroll
      for (int e = 0; e < kWidth; ++e) {
        double s = 0.0, c = 0.0;
        sincos(static_cast<double>(place) * a.inv_freq[i + e], &s, &c);
        cosines[e] = static_cast<float>(c);
        sines[e] = static_cast<float>(s);
      }
      const std::int64_t at = static_cast<std::int64_t>(j) * d + i;
      for (std::int32_t first = first_kv; first < end_kv; first += kBatch) {
        Pack<T, kWidth> x[kBatch], y[kBatch];
#pragma unroll
        for (int b = 0; b < kBatch; ++b) {
          const T* from = layer.head<T>(min(first + b, end_kv - 1), HeadArray::unrotated) + at;
          x[b] = read_pack<T, kWidth>(from);
          y[b] = read_pack<T, kWidth>(from + half);
        }
#pragma unroll
        for (int b = 0; b < kBatch; ++b) {
          if (first + b >= end_kv) break;
          Pack<T, kWidth> left, right;
#pragma unroll
          for (int e = 0; e < kWidth; ++e) {
            const float u = to_float(x[b].at[e]), v = to_float(y[b].at[e]);
            left.at[e] = from_float<T>(u * cosines[e] - v * sines[e]);
            right.at[e] = from_float<T>(v * cosines[e] + u * sines[e]);
          }
          T* to = layer.head<T>(first + b, HeadArray::rotated) + at;
          write_pack(to, left);
          write_pack(to + half, right);
        }
      }
    }
  }
}

// Survivors from the end take the places of the dead, so that a state's columns stay together: a
// block takes a group of a tile and tells what left, a thread a query; its first warp moves what
// the group knows of its columns, and lists the moves for `compact`.
__global__ void leave_kernel(LeaveArguments a) {
  const auto slot = static_cast<std::int32_t>(blockIdx.x),
             group = static_cast<std::int32_t>(blockIdx.y);
  const TileInfo& tile = a.tiles[slot];
  const auto thread = static_cast<std::int32_t>(threadIdx.x), lane = thread % kLanes;
  __shared__ float reduced[kThreads / kLanes];
  const AttentionShape& shape = a.shape;
  const std::int64_t list =
      (static_cast<std::int64_t>(slot) * shape.n_eviction_groups + group) * kRopeSegmentTokens;
  const LayerView layer(tile.state, a.layout, tile.capacity, a.layer);
  std::int32_t* positions = layer.positions(group);
  const std::int32_t* death = a.scratch.deaths(slot, group, shape.n_eviction_groups);
  std::int32_t n_dead = 0;
  for (std::int32_t step = thread; step < tile.n_steps;
       step += static_cast<std::int32_t>(kThreads)) {
    const std::int32_t column = tile.drops != 0 ? a.scratch.evicted[list + step] : -1;
    EventRecord record{-1, 0.0f, 0};
    if (column >= 0) {
      ++n_dead;
      record.position = positions[column];
      record.weight = a.scratch.evicted_weight[list + step];
      if (a.sums_heads) {  // of `window`, which has one group
        float sum = 0.0f;
        for (std::int32_t h = 0; h < shape.n_heads; ++h)
          sum += a.scratch.head_weight[(static_cast<std::int64_t>(slot) * shape.n_heads + h) *
                                           kRopeSegmentTokens +
                                       step];
        record.weight = sum / static_cast<float>(shape.n_heads);
      }
    }
    for (std::int32_t j = 0; shape.sliding_window > 0 && j <= tile.n_state + step; ++j) {
      record.n_attended +=
          death[j] >= step && is_visible(shape.sliding_window, tile.position + step, positions[j])
              ? 1
              : 0;
    }
    a.events[(static_cast<std::int64_t>(tile.event_row) + step) * shape.n_eviction_groups + group] =
        record;
  }
  n_dead = static_cast<std::int32_t>(block_sum(static_cast<float>(n_dead), reduced));
  if (thread >= kLanes) return;
  if (tile.drops == 0 || n_dead == 0) {
    if (lane == 0) a.scratch.n_moves[slot * shape.n_eviction_groups + group] = 0;
    return;
  }
  const std::int32_t n_left = tile.n_columns() - n_dead;
  // The dead below n_left, and as many survivors above, each in order of columns.
  std::int32_t n_to = 0, n_from = 0;
  constexpr int kBatch = 8;  // columns of a lane that are read together
  for (std::int32_t begin = 0; begin < tile.n_columns(); begin += kBatch * kLanes) {
    std::int32_t deaths[kBatch];
#pragma unroll
    for (int b = 0; b < kBatch; ++b)
      deaths[b] = death[min(begin + b * kLanes + lane, tile.n_columns() - 1)];
#pragma unroll
    for (int b = 0; b < kBatch; ++b) {
      const std::int32_t j = begin + b * kLanes + lane;
      const bool exists = j < tile.n_columns(), lives = exists && deaths[b] == kAlive;
      const unsigned holes = __ballot_sync(kAllLanes, exists && !lives && j < n_left);
      const unsigned fillers = __ballot_sync(kAllLanes, lives && j >= n_left);
      const unsigned before = (1u << lane) - 1u;
      if ((holes >> lane & 1u) != 0) a.scratch.move_to[list + n_to + __popc(holes & before)] = j;
      if ((fillers >> lane & 1u) != 0)
        a.scratch.move_from[list + n_from + __popc(fillers & before)] = j;
      n_to += __popc(holes);
      n_from += __popc(fillers);
    }
  }
  __syncwarp();
  if (lane == 0) a.scratch.n_moves[slot * shape.n_eviction_groups + group] = n_to;
  for (std::int32_t i = lane; i < n_to; i += kLanes) {
    const std::int32_t from = a.scratch.move_from[list + i], to = a.scratch.move_to[list + i];
    positions[to] = positions[from];
    if (a.layout.remembers) layer.memory(group)[to] = layer.memory(group)[from];
    if (!a.layout.averages) continue;
    layer.decay_power(group)[to] = layer.decay_power(group)[from];
    layer.value_norm(group)[to] = layer.value_norm(group)[from];
  }
}

// What comes into a state's rows: the moves, and tokens that have joined in the scratch and stay
// where they are in the order of columns.
struct Gathering {
  const std::int32_t *move_from, *move_to, *death;
  std::int32_t n_moves, n_joined;

  // By a block, rows of `n_parts` of V.
  template <class V, class T>
  __device__ void run(const TileRows<T>& rows, std::int32_t n_parts) const {
    copy_all<V>((n_moves + n_joined) * n_parts, [&](std::int32_t i) {
      const std::int32_t part = i % n_parts, row = i / n_parts;
      const bool moves = row < n_moves;
      const std::int32_t from = moves ? move_from[row] : rows.n_inside + row - n_moves,
                         to = moves ? move_to[row] : from;
      const bool stays = !moves && death[from] == kAlive;  // else another moves there
      V* inside = reinterpret_cast<V*>(rows.inside) + static_cast<std::int64_t>(to) * n_parts;
      return Copy<V>{reinterpret_cast<const V*>(rows.at(from)) + part,
                     moves || stays ? inside + part : nullptr};
    });
  }
};

// A block takes one array (unrotated, rotated, values) of a KV head.
template <class T>
__global__ void compact_kernel(LeaveArguments a) {
  const auto slot = static_cast<std::int32_t>(blockIdx.x),
             kv = static_cast<std::int32_t>(blockIdx.y);
  const TileInfo& tile = a.tiles[slot];
  const std::int32_t group = kv / a.shape.kv_per_group, d = a.shape.head_dim;
  const std::int64_t list =
      (static_cast<std::int64_t>(slot) * a.shape.n_eviction_groups + group) * kRopeSegmentTokens;
  const LayerView layer(tile.state, a.layout, tile.capacity, a.layer);
  const HeadArray array = blockIdx.z == 0   ? HeadArray::values
                          : blockIdx.z == 1 ? HeadArray::rotated
                                            : HeadArray::unrotated;
  const TileRows<T> rows(layer, tile, slot, kv, array, a.scratch.joining);
  const Gathering gathering{a.scratch.move_from + list, a.scratch.move_to + list,
                            a.scratch.deaths(slot, group, a.shape.n_eviction_groups),
                            a.scratch.n_moves[slot * a.shape.n_eviction_groups + group],
                            max(0, min(tile.n_columns(), tile.rule.cache_size) - tile.n_inside)};
  if (d % kWide<T> == 0) {
    gathering.run<uint4>(rows, d / kWide<T>);
  } else {
    gathering.run<T>(rows, d);
  }
}

}  // namespace

template <class T>
void join(const JoinArguments<T>& a, std::int32_t n_rows, const Stream& stream) {
  launch(a.shape.head_dim % 4 == 0 ? join_kernel<T, 2> : join_kernel<T, 1>, "join",
         {.blocks = dim3(static_cast<unsigned>(n_rows)), .threads = dim3(kThreads)}, stream, a);
}

void fill_angles(const std::int64_t* positions, const double* inv_freq, std::int32_t half,
                 float* angles, std::int32_t n_rows, const Stream& stream) {
  launch(angles_kernel, "angles",
         {.blocks = dim3(static_cast<unsigned>(n_rows)), .threads = dim3(64)}, stream, positions,
         inv_freq, half, angles);
}

template <class T>
void rotate_again(const RotateArguments& a, std::int32_t n_tiles, const Stream& stream) {
  constexpr unsigned kParts = 32;
  launch(a.shape.head_dim % 4 == 0 ? rotate_again_kernel<T, 2> : rotate_again_kernel<T, 1>,
         "rotate_again",
         {.blocks = dim3(static_cast<unsigned>(n_tiles),
                         static_cast<unsigned>(a.shape.n_eviction_groups), kParts),
          .threads = dim3(kThreads)},
         stream, a);
}

void leave(const LeaveArguments& a, std::int32_t n_tiles, const Stream& stream) {
  launch(leave_kernel, "leave",
         {.blocks = dim3(static_cast<unsigned>(n_tiles),
                         static_cast<unsigned>(a.shape.n_eviction_groups)),
          .threads = dim3(kThreads)},
         stream, a);
}

template <class T>
void compact(const LeaveArguments& a, std::int32_t n_tiles, const Stream& stream) {
  launch(compact_kernel<T>, "compact",
         {.blocks = dim3(static_cast<unsigned>(n_tiles), static_cast<unsigned>(a.shape.n_kv_heads),
                         static_cast<unsigned>(a.layout.n_head_arrays())),
          .threads = dim3(kThreads)},
         stream, a);
}

template void join<float>(const JoinArguments<float>&, std::int32_t, const Stream&);
template void join<Bf16>(const JoinArguments<Bf16>&, std::int32_t, const Stream&);
template void rotate_again<float>(const RotateArguments&, std::int32_t, const Stream&);
template void rotate_again<Bf16>(const RotateArguments&, std::int32_t, const Stream&);
template void compact<float>(const LeaveArguments&, std::int32_t, const Stream&);
template void compact<Bf16>(const LeaveArguments&, std::int32_t, const Stream&);

}  // namespace tovamill::cuda
