// Keys of a state, rotated anew from the unrotated ones where a RoPE segment begins whose positions
// are relative to another place: `clipped` rotates a key at position p as if at
// max(0, p - rotation), `in-state` as if at its rank by age among the state's tokens.
//
// Mapping: a warp takes a slot of an eviction group, with the cosines and sines once, in float64,
// for all its KV heads; a lane kWidth pairs. Bytes of a layer and state: each key read and written
// once, 2 n_state kv_size elements, once in 256 tokens beyond the clip distance.
#include "kernels/cuda/attention/attention_kernels.h"
#include "kernels/cuda/device/warp.h"

namespace tovamill::cuda {
namespace {

constexpr unsigned kThreads = 256;
constexpr unsigned kBlocksOfState = 32;  // that share the slots of an eviction group
constexpr int kBatch = 4;                // KV heads that are read before they are written

// The rotary position of slot j, in all lanes.
__device__ std::int64_t rotary_position(const TileInfo& tile, const std::int32_t* positions,
                                        std::int32_t j, bool in_state) {
  const std::int64_t position = positions[j] - tile.rotation;
  if (!in_state) return position < 0 ? 0 : position;
  std::int32_t older = 0;
  for (auto i = static_cast<std::int32_t>(threadIdx.x % kLanes); i < tile.n_state; i += kLanes)
    older += positions[i] < positions[j] ? 1 : 0;
  for (int i = kLanes / 2; i > 0; i /= 2) older += __shfl_xor_sync(kAllLanes, older, i);
  return older;
}

// Pairs [i, i + kWidth) of the keys of KV heads [first_kv, end_kv), which begin at element `at` of
// their heads' arrays.
template <class T, int kWidth>
__device__ void rotate_pairs(const LayerView& layer, std::int32_t first_kv, std::int32_t end_kv,
                             std::int64_t at, std::int32_t half, const float (&cosines)[kWidth],
                             const float (&sines)[kWidth]) {
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

// Grid: tiles, eviction groups, kBlocksOfState.
template <class T, int kWidth>
__global__ void rotate_again_kernel(RotateArguments a) {
  const TileInfo& tile = a.tiles[blockIdx.x];
  if (tile.rotates == 0) return;
  const auto group = static_cast<std::int32_t>(blockIdx.y);
  const auto lane = static_cast<std::int32_t>(threadIdx.x % kLanes);
  const std::int32_t d = a.shape.head_dim, half = d / 2,
                     first_kv = group * a.shape.kv_heads_per_group,
                     end_kv = first_kv + a.shape.kv_heads_per_group;
  const LayerView layer(tile.state, a.layout, tile.capacity, a.layer);
  const std::int32_t* positions = layer.positions(group);
  const auto warps = static_cast<std::int32_t>(gridDim.z * blockDim.x / kLanes);
  // Merged tokens have turns of their own (attention_merge.cu).
  for (auto j = a.shape.n_merged +
                static_cast<std::int32_t>((blockIdx.z * blockDim.x + threadIdx.x) / kLanes);
       j < tile.n_state; j += warps) {
    const std::int64_t position = rotary_position(tile, positions, j, a.shape.in_state);
    for (std::int32_t i = lane * kWidth; i < half; i += kLanes * kWidth) {
      float cosines[kWidth], sines[kWidth];
#pragma unroll
      for (int e = 0; e < kWidth; ++e) {
        double s = 0.0, c = 0.0;
        sincos(static_cast<double>(position) * a.inv_freq[i + e], &s, &c);
        cosines[e] = static_cast<float>(c);
        sines[e] = static_cast<float>(s);
      }
      rotate_pairs<T, kWidth>(layer, first_kv, end_kv, static_cast<std::int64_t>(j) * d + i, half,
                              cosines, sines);
    }
  }
}

}  // namespace

// Two pairs a lane where heads are of whole packs, else one.
template <class T>
void rotate_again(const RotateArguments& a, std::int32_t n_tiles, const Stream& stream) {
  launch(a.shape.head_dim % 4 == 0 ? rotate_again_kernel<T, 2> : rotate_again_kernel<T, 1>,
         "rotate_again",
         {.blocks = dim3(static_cast<unsigned>(n_tiles),
                         static_cast<unsigned>(a.shape.n_eviction_groups), kBlocksOfState),
          .threads = dim3(kThreads)},
         stream, a);
}

template void rotate_again<float>(const RotateArguments&, std::int32_t, const Stream&);
template void rotate_again<Bf16>(const RotateArguments&, std::int32_t, const Stream&);

}  // namespace tovamill::cuda
