// Appends a step's tokens to their states: queries and keys get their norms and their rotation
// (where the layer has them), keys and values go to the slots behind those of the state, or into
// the scratch where the state has no room for them.
//
// Rotation (RoPE; Su et al. 2021, arXiv:2104.09864), of pairs (i, i + head_dim / 2):
//   x_i' = x_i cos(p w_i) - x_j sin(p w_i),  x_j' = x_j cos(p w_i) + x_i sin(p w_i)
//
// Mapping: a thread block takes a row of the step, a warp one of its heads at a time, a lane kWidth
// pairs. Bytes of a row and layer, elements of e bytes: reads 4 (q_size + 2 kv_size) of
// projections, writes e q_size of queries and e kv_size of values, rotated and, where they are
// kept, unrotated keys.
#include "kernels/cuda/attention/attention_kernels.h"
#include "kernels/cuda/device/warp.h"

namespace tovamill::cuda {
namespace {

constexpr unsigned kThreads = 256;

// What rotated queries are multiplied with, `weight` (head_dim) or null.
struct QueryFactor {
  float factor = 1.0f;
  const float* weight = nullptr;
  __device__ float of(std::int32_t i) const {
    return weight == nullptr ? factor : factor * weight[i];
  }
};

// Writes in * cos/sin of `angles` (cosines, then sines, half each; null: as it is) by one warp,
// kWidth pairs a lane; `factor` and `weight` (or null) first, `behind` last.
template <class T, int kWidth>
__device__ void rotate_head(const float* in, const float* angles, std::int32_t half, float factor,
                            const float* weight, const QueryFactor& behind, T* rotated,
                            T* unrotated) {
#pragma unroll 1  // most heads take one iteration
  for (auto i = static_cast<std::int32_t>(threadIdx.x % kLanes) * kWidth; i < half;
       i += kLanes * kWidth) {
    auto a = read_pack<float, kWidth>(in + i), b = read_pack<float, kWidth>(in + half + i);
    Pack<float, kWidth> c{}, s{};
    if (angles != nullptr) {
      c = read_pack<float, kWidth>(angles + i);
      s = read_pack<float, kWidth>(angles + half + i);
    }
    Pack<T, kWidth> left, right;
#pragma unroll
    for (int e = 0; e < kWidth; ++e) {
      if (weight != nullptr) {
        a.at[e] *= factor * weight[i + e];
        b.at[e] *= factor * weight[half + i + e];
      }
      const bool turns = angles != nullptr;
      const float x = turns ? a.at[e] * c.at[e] - b.at[e] * s.at[e] : a.at[e],
                  y = turns ? b.at[e] * c.at[e] + a.at[e] * s.at[e] : b.at[e];
      left.at[e] = from_float<T>(x * behind.of(i + e));
      right.at[e] = from_float<T>(y * behind.of(half + i + e));
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

// 1 / rms of a head, or of the heads of a row, in all lanes.
__device__ float inverse_rms(const float* head, std::int32_t n, float eps) {
  float sum = 0.0f;
  for (std::int32_t i = static_cast<std::int32_t>(threadIdx.x % kLanes); i < n; i += kLanes)
    sum += head[i] * head[i];
  return 1.0f / sqrtf(warp_sum(sum) / static_cast<float>(n) + eps);
}

// What a head of a row of `n_heads` is multiplied with before its rotation: 1 / rms of itself or of
// all of them, and weights (null: nothing). By one warp.
struct NormOfHead {
  __device__ NormOfHead(const float* weights, const float* row, std::int32_t n_heads,
                        std::int32_t head, const AttentionShape& shape) {
    const std::int32_t d = shape.head_dim;
    if (weights == nullptr) return;
    const bool is_row = shape.norms_rows;
    factor = inverse_rms(is_row ? row : row + head * d, is_row ? n_heads * d : d, shape.eps);
    weight = is_row ? weights + head * d : weights;
  }
  float factor = 1.0f;
  const float* weight = nullptr;
};

// values[i] = v[i], or what its norm makes of it, by one warp.
template <class T, int kWidth>
__device__ void store_values(const float* v, std::int32_t d, const float* norm, float eps,
                             T* values) {
  const float factor = norm == nullptr ? 1.0f : inverse_rms(v, d, eps);
  const auto lane = static_cast<std::int32_t>(threadIdx.x % kLanes);
#pragma unroll 2
  for (std::int32_t i = lane * kWidth; i < d; i += kLanes * kWidth) {
    const auto x = read_pack<float, kWidth>(v + i);
    Pack<T, kWidth> y;
#pragma unroll
    for (int e = 0; e < kWidth; ++e)
      y.at[e] = from_float<T>(norm == nullptr ? x.at[e] : x.at[e] * factor * norm[i + e]);
    write_pack(values + i, y);
  }
}

// The L2 norms of the values of a row of projections, `norm` of them where there is one, summed
// over KV heads; in all lanes.
__device__ float sum_value_norms(const float* qkv, const AttentionShape& shape, const float* norm) {
  const auto lane = static_cast<std::int32_t>(threadIdx.x % kLanes);
  float norms = 0.0f;
  for (std::int32_t kv = 0; kv < shape.n_kv_heads; ++kv) {
    const float* v = qkv + shape.q_size() + shape.kv_size() + kv * shape.head_dim;
    float sum = 0.0f;
    for (std::int32_t i = lane; i < shape.head_dim; i += kLanes) {
      const float x = norm == nullptr ? v[i] : v[i] * norm[i];
      sum += x * x;
    }
    const float factor = norm == nullptr ? 1.0f : inverse_rms(v, shape.head_dim, shape.eps);
    norms += factor * sqrtf(warp_sum(sum));
  }
  return norms;
}

// What each eviction group keeps of a token, by one warp: its position, and what the policy
// remembers of a token that no query has attended to. `qkv` is the token's row, the `i`-th of the
// tile.
__device__ void store_token(const LayerView& layer, const AttentionShape& shape,
                            const TileInfo& tile, const float* qkv, const float* v_norm,
                            std::int32_t i) {
  const auto lane = static_cast<std::int32_t>(threadIdx.x % kLanes);
  const std::int32_t slot = tile.n_state + i;
  const float norms = layer.layout.averages ? sum_value_norms(qkv, shape, v_norm) : 0.0f;
  for (std::int32_t g = lane; g < shape.n_eviction_groups; g += kLanes) {
    layer.positions(g)[slot] = static_cast<std::int32_t>(tile.position) + i;
    if (layer.layout.remembers) layer.memory(g)[slot] = 0.0f;
    if (!layer.layout.averages) continue;
    layer.decay_power(g)[slot] = 1.0f;
    layer.value_norm(g)[slot] = norms / static_cast<float>(shape.n_kv_heads);
  }
}

// Grid: rows of the step. Work items of a row: its query heads, its KV heads (a key and its value),
// and last what the policy keeps of the token.
template <class T, int kWidth>
__global__ void __launch_bounds__(kThreads, 4) append_kernel(AppendArguments<T> a) {
  const auto row = static_cast<std::int32_t>(blockIdx.x);
  const std::int32_t tile_index = a.row_tile[row];
  if (tile_index < a.first || tile_index >= a.end) return;
  const TileInfo& tile = a.tiles[tile_index];
  const AttentionShape& shape = a.shape;
  const std::int32_t d = shape.head_dim, half = d / 2, slot = tile.n_state + row - tile.first_row;
  const LayerView layer(tile.state, a.layout, tile.capacity, a.layer);
  const float* qkv = a.qkv + static_cast<std::int64_t>(row) * shape.qkv_size();
  const float* angles =
      a.angles == nullptr ? nullptr : a.angles + static_cast<std::int64_t>(row) * d;
  for (auto item = static_cast<std::int32_t>(threadIdx.x / kLanes);
       item <= shape.n_heads + shape.n_kv_heads;
       item += static_cast<std::int32_t>(blockDim.x / kLanes)) {
    if (item < shape.n_heads) {
      const float* q = qkv + item * d;
      const NormOfHead norm(a.weights.q_norm, qkv, shape.n_heads, item, shape);
      const std::int64_t position = tile.position + row - tile.first_row;
      const QueryFactor behind{shape.query_factor(position), a.weights.q_factor};
      T* to = a.queries + static_cast<std::int64_t>(row) * shape.q_size() + item * d;
      rotate_head<T, kWidth>(q, angles, half, norm.factor, norm.weight, behind, to, nullptr);
    } else if (item < shape.n_heads + shape.n_kv_heads) {
      const std::int32_t kv = item - shape.n_heads;
      const float *k = qkv + shape.q_size() + kv * d, *v = k + shape.kv_size();
      const NormOfHead norm(a.weights.k_norm, qkv + shape.q_size(), shape.n_kv_heads, kv, shape);
      const auto place = [&](HeadArray array) {
        return TileRows<T>(layer, tile, tile_index - a.first, kv, array, a.appended).at(slot);
      };
      T* unrotated = a.layout.keeps_unrotated ? place(HeadArray::unrotated) : nullptr;
      rotate_head<T, kWidth>(k, angles, half, norm.factor, norm.weight, {},
                             place(HeadArray::rotated), unrotated);
      store_values<T, kWidth>(v, d, a.weights.v_norm, shape.eps, place(HeadArray::values));
    } else {
      store_token(layer, shape, tile, qkv, a.weights.v_norm, row - tile.first_row);
    }
  }
}

// Cosines and sines of the rows' rotary positions, reduced in float64: exact at any position.
// Mapping: a thread block takes a row, a thread a pair.
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

}  // namespace

// Two pairs a lane where heads are of whole packs, else one.
template <class T>
void append(const AppendArguments<T>& a, std::int32_t n_rows, const Stream& stream) {
  launch(a.shape.head_dim % 4 == 0 ? append_kernel<T, 2> : append_kernel<T, 1>, "append",
         {.blocks = dim3(static_cast<unsigned>(n_rows)), .threads = dim3(kThreads)}, stream, a);
}

void fill_angles(const std::int64_t* positions, const double* inv_freq, std::int32_t half,
                 float* angles, std::int32_t n_rows, const Stream& stream) {
  launch(angles_kernel, "angles",
         {.blocks = dim3(static_cast<unsigned>(n_rows)), .threads = dim3(64)}, stream, positions,
         inv_freq, half, angles);
}

template void append<float>(const AppendArguments<float>&, std::int32_t, const Stream&);
template void append<Bf16>(const AppendArguments<Bf16>&, std::int32_t, const Stream&);

}  // namespace tovamill::cuda
