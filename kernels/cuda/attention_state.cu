// What happens to states around a tile: its tokens join, keys are rotated anew where their
// positions change, survivors move together.
//
// Bytes a layer: joining reads the projections of a row (4 (q + 2 kv)) and writes its query (2 q)
// and 3 kv numbers; rotating anew reads and writes each key of the state once, every 256 tokens
// beyond the clip distance; moving together reads and writes at most as many tokens as left.
#include "kernels/cuda/attention_kernels.h"
#include "kernels/cuda/warp.h"

namespace tovamill::cuda {
namespace {

// Writes in * cos/sin of `angles` (cosines, then sines, half each), (i, i + half) a pair, by one
// warp; `factor` and `weight` (or null) first.
template <class T>
__device__ void rotate_head(const float* in, const float* angles, std::int32_t half, float factor,
                            const float* weight, T* rotated, T* unrotated) {
  for (std::int32_t i = static_cast<std::int32_t>(threadIdx.x % kLanes); i < half; i += kLanes) {
    float a = in[i], b = in[i + half];
    if (weight != nullptr) {
      a *= factor * weight[i];
      b *= factor * weight[i + half];
    }
    const float c = angles[i], s = angles[half + i];
    rotated[i] = from_float<T>(a * c - b * s);
    rotated[i + half] = from_float<T>(b * c + a * s);
    if (unrotated != nullptr) {
      unrotated[i] = from_float<T>(a);
      unrotated[i + half] = from_float<T>(b);
    }
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
template <class T>
__global__ void join_kernel(JoinArguments<T> a) {
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
      rotate_head<T>(q, angles, half, factor, a.q_norm, to, nullptr);
    } else if (slot < shape.n_heads + shape.n_kv_heads) {
      const std::int32_t kv = slot - shape.n_heads;
      const float *k = qkv + shape.q_size() + kv * d, *v = k + shape.kv_size();
      const float factor = a.k_norm != nullptr ? inverse_rms(k, d, shape.eps) : 1.0f;
      const auto place = [&](HeadArray array) {
        return TileRows<T>(layer, tile, tile_index - a.first, kv, array, a.joining).at(column);
      };
      T* unrotated = a.layout.keeps_unrotated ? place(HeadArray::unrotated) : nullptr;
      rotate_head<T>(k, angles, half, factor, a.k_norm, place(HeadArray::rotated), unrotated);
      T* values = place(HeadArray::values);
      for (std::int32_t i = lane; i < d; i += kLanes) values[i] = from_float<T>(v[i]);
    } else {
      float norms = 0.0f;
      for (std::int32_t kv = 0; a.layout.averages && kv < shape.n_kv_heads; ++kv) {
        const float* v = qkv + shape.q_size() + shape.kv_size() + kv * d;
        float sum = 0.0f;
        for (std::int32_t i = lane; i < d; i += kLanes) sum += v[i] * v[i];
        norms += sqrtf(warp_sum(sum));
      }
      for (std::int32_t g = lane; g < shape.n_groups; g += kLanes) {
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

// A warp takes a column of the state.
template <class T>
__global__ void rotate_again_kernel(RotateArguments a) {
  const TileInfo& tile = a.tiles[blockIdx.x];
  if (tile.rotates == 0) return;
  const auto kv = static_cast<std::int32_t>(blockIdx.y);
  const auto lane = static_cast<std::int32_t>(threadIdx.x % kLanes);
  const std::int32_t d = a.shape.head_dim, half = d / 2;
  const LayerView layer(tile.state, a.layout, tile.capacity, a.layer);
  const std::int32_t* positions = layer.positions(kv / a.shape.kv_per_group);
  const T* from = layer.head<T>(kv, HeadArray::unrotated);
  T* to = layer.head<T>(kv, HeadArray::rotated);
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
    const std::int64_t at = static_cast<std::int64_t>(j) * d;
    for (std::int32_t i = lane; i < half; i += kLanes) {
      double s = 0.0, c = 0.0;
      sincos(static_cast<double>(place) * a.inv_freq[i], &s, &c);
      const float x = to_float(from[at + i]), y = to_float(from[at + half + i]);
      const auto cosine = static_cast<float>(c), sine = static_cast<float>(s);
      to[at + i] = from_float<T>(x * cosine - y * sine);
      to[at + half + i] = from_float<T>(y * cosine + x * sine);
    }
  }
}

// Survivors from the end take the places of the dead, so that a state's columns stay together: a
// warp takes a group of a tile, tells what left, moves what the group knows of its columns, and
// lists the moves for `compact`.
__global__ void leave_kernel(LeaveArguments a) {
  const auto slot = static_cast<std::int32_t>(blockIdx.x),
             group = static_cast<std::int32_t>(blockIdx.y);
  const TileInfo& tile = a.tiles[slot];
  const auto lane = static_cast<std::int32_t>(threadIdx.x);
  const AttentionShape& shape = a.shape;
  const std::int64_t list =
      (static_cast<std::int64_t>(slot) * shape.n_groups + group) * kGroupTokens;
  const LayerView layer(tile.state, a.layout, tile.capacity, a.layer);
  std::int32_t* positions = layer.positions(group);
  const std::int32_t* death = a.scratch.deaths(slot, group, shape.n_groups);
  std::int32_t n_dead = 0;
  for (std::int32_t step = lane; step < tile.n_steps; step += kLanes) {
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
                                           kGroupTokens +
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
    a.events[(static_cast<std::int64_t>(tile.event_row) + step) * shape.n_groups + group] = record;
  }
  for (int i = kLanes / 2; i > 0; i /= 2) n_dead += __shfl_xor_sync(kAllLanes, n_dead, i);
  if (tile.drops == 0 || n_dead == 0) {
    if (lane == 0) a.scratch.n_moves[slot * shape.n_groups + group] = 0;
    return;
  }
  const std::int32_t n_left = tile.n_columns() - n_dead;
  // The dead below n_left, and as many survivors above, each in order of columns.
  std::int32_t n_to = 0, n_from = 0;
  for (std::int32_t begin = 0; begin < tile.n_columns(); begin += kLanes) {
    const std::int32_t j = begin + lane;
    const bool exists = j < tile.n_columns(), lives = exists && death[j] == kAlive;
    const unsigned holes = __ballot_sync(kAllLanes, exists && !lives && j < n_left);
    const unsigned fillers = __ballot_sync(kAllLanes, lives && j >= n_left);
    const unsigned before = (1u << lane) - 1u;
    if ((holes >> lane & 1u) != 0) a.scratch.move_to[list + n_to + __popc(holes & before)] = j;
    if ((fillers >> lane & 1u) != 0)
      a.scratch.move_from[list + n_from + __popc(fillers & before)] = j;
    n_to += __popc(holes);
    n_from += __popc(fillers);
  }
  __syncwarp();
  if (lane == 0) a.scratch.n_moves[slot * shape.n_groups + group] = n_to;
  for (std::int32_t i = lane; i < n_to; i += kLanes) {
    const std::int32_t from = a.scratch.move_from[list + i], to = a.scratch.move_to[list + i];
    positions[to] = positions[from];
    if (a.layout.remembers) layer.memory(group)[to] = layer.memory(group)[from];
    if (!a.layout.averages) continue;
    layer.decay_power(group)[to] = layer.decay_power(group)[from];
    layer.value_norm(group)[to] = layer.value_norm(group)[from];
  }
}

// A block takes one array (unrotated, rotated, values) of a KV head, a warp a row: the moves, and
// tokens that have joined in the scratch and stay where they are in the order of columns.
template <class T>
__global__ void compact_kernel(LeaveArguments a) {
  const auto slot = static_cast<std::int32_t>(blockIdx.x),
             kv = static_cast<std::int32_t>(blockIdx.y);
  const TileInfo& tile = a.tiles[slot];
  const std::int32_t group = kv / a.shape.kv_per_group, d = a.shape.head_dim;
  const std::int64_t list =
      (static_cast<std::int64_t>(slot) * a.shape.n_groups + group) * kGroupTokens;
  const LayerView layer(tile.state, a.layout, tile.capacity, a.layer);
  const HeadArray array = blockIdx.z == 0   ? HeadArray::values
                          : blockIdx.z == 1 ? HeadArray::rotated
                                            : HeadArray::unrotated;
  const TileRows<T> rows(layer, tile, slot, kv, array, a.scratch.joining);
  const std::int32_t* death = a.scratch.deaths(slot, group, a.shape.n_groups);
  const std::int32_t n_moves = a.scratch.n_moves[slot * a.shape.n_groups + group],
                     n_joined = max(0, min(tile.n_columns(), tile.rule.cache_size) - tile.n_inside);
  for (auto i = static_cast<std::int32_t>(threadIdx.x / kLanes); i < n_moves + n_joined;
       i += static_cast<std::int32_t>(blockDim.x / kLanes)) {
    const bool moves = i < n_moves;
    const std::int32_t from = moves ? a.scratch.move_from[list + i] : tile.n_inside + i - n_moves,
                       to = moves ? a.scratch.move_to[list + i] : from;
    if (!moves && death[from] != kAlive) continue;  // another moves there
    const T* source = rows.at(from);
    T* target = rows.inside + static_cast<std::int64_t>(to) * d;
    for (auto e = static_cast<std::int32_t>(threadIdx.x % kLanes); e < d; e += kLanes)
      target[e] = source[e];
  }
}

constexpr unsigned kThreads = 256;

}  // namespace

template <class T>
void join(const JoinArguments<T>& a, std::int32_t n_rows, const Stream& stream) {
  launch(join_kernel<T>, "join",
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
  constexpr unsigned kParts = 4;
  launch(rotate_again_kernel<T>, "rotate_again",
         {.blocks = dim3(static_cast<unsigned>(n_tiles), static_cast<unsigned>(a.shape.n_kv_heads),
                         kParts),
          .threads = dim3(kThreads)},
         stream, a);
}

void leave(const LeaveArguments& a, std::int32_t n_tiles, const Stream& stream) {
  launch(leave_kernel, "leave",
         {.blocks = dim3(static_cast<unsigned>(n_tiles), static_cast<unsigned>(a.shape.n_groups)),
          .threads = dim3(kLanes)},
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
