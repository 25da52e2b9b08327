// The merge of one KV head by a thread block (kernels/README.md, "Merged tokens"): a warp takes a
// key, a thread an element of a place. All sums run in a fixed order. Device code of
// attention_merge.cu.
#pragma once

#include "kernels/cuda/attention/attention_kernels.h"
#include "kernels/cuda/device/warp.h"
#include "kernels/types/merge_rule.h"

namespace tovamill::cuda::head_merge {

inline constexpr int kThreads = 256, kWarps = kThreads / kLanes;

// A KV head of a tile: what its block reads and writes.
template <class T>
struct MergedHead {
  const MergeArguments<T>& a;
  const TileInfo& tile;
  LayerView layer;
  MergeView merge;
  std::int32_t tile_index, kv, n_merged, d;

  __device__ MergedHead(const MergeArguments<T>& arguments, std::int32_t index, std::int32_t head)
      : a(arguments),
        tile(a.tiles[index]),
        layer(tile.state, a.layout, tile.capacity, a.layer),
        merge(layer, a.shape.n_heads, a.shape.n_merged),
        tile_index(index),
        kv(head),
        n_merged(a.shape.n_merged),
        d(a.shape.head_dim) {}
  __device__ T* row(HeadArray array, std::int32_t slot) const {
    return layer.template head<T>(kv, array) + static_cast<std::int64_t>(slot) * d;
  }
  __device__ float* biases() const { return merge.biases + kv * n_merged; }
  __device__ double* positions() const { return merge.positions + kv * n_merged; }
  __device__ T* left_key(std::int32_t i) const {
    return merge.template left_row<T>(merge.left_keys, kv, i, d);
  }
  __device__ T* left_value(std::int32_t i) const {
    return merge.template left_row<T>(merge.left_values, kv, i, d);
  }
};

// What a block works in.
struct MergeMemory {
  double* positions;                 // (points)
  float *place_keys, *place_values;  // (n_merged, head_dim)
  float *means, *variances;          // (heads_per_kv, head_dim), the scale inside
  float* logs;                       // (points + live)
  float* log_sums;                   // (heads_per_kv)
  float *biases, *masses;            // (points)
  float* place_masses;               // (n_merged)
  std::int32_t* sources;             // (points) a place, or n_merged + which of those that left
  std::int32_t* place_of;            // (points)
  std::int32_t* is_used;             // (n_merged) whether there is a centre

  __device__ MergeMemory(float* at, const AttentionShape& s, std::int32_t most_slots) {
    const std::int32_t points = s.n_merged + kMergeInterval;
    const auto take = [&](std::int32_t n) {
      float* taken = at;
      at += n;
      return taken;
    };
    positions = reinterpret_cast<double*>(take(2 * points));
    place_keys = take(s.n_merged * s.head_dim);
    place_values = take(s.n_merged * s.head_dim);
    means = take(s.heads_per_kv * s.head_dim);
    variances = take(s.heads_per_kv * s.head_dim);
    logs = take(points + most_slots);
    log_sums = take(s.heads_per_kv);
    biases = take(points);
    masses = take(points);
    place_masses = take(s.n_merged);
    sources = reinterpret_cast<std::int32_t*>(take(points));
    place_of = reinterpret_cast<std::int32_t*>(take(points));
    is_used = reinterpret_cast<std::int32_t*>(take(s.n_merged));
  }
};

// The merge of one KV head by a thread block.
template <class T>
class HeadMerge {
 public:
  __device__ HeadMerge(const MergedHead<T>& head, const MergeMemory& memory, std::int32_t n_left,
                       float* reduced)
      : m_(head),
        w_(memory),
        n_left_(n_left),
        n_live_(min(head.tile.n_slots(), head.a.shape.cache_size) - head.n_merged),
        reduced_(reduced),
        thread_(static_cast<std::int32_t>(threadIdx.x)),
        warp_(thread_ / kLanes),
        lane_(thread_ % kLanes) {}

  __device__ void run() {
    fill_moments();
    if (thread_ == 0) list_points();
    __syncthreads();
    n_points_ = count_points();
    first_centres();
    weigh();
    for (std::int32_t round = 0; round < kMergeRounds; ++round) {
      assign();
      means_of_places(w_.place_keys, true);
    }
    assign();
    means_of_places(w_.place_keys, true);
    means_of_places(w_.place_values, false);
    store();
    __syncthreads();
  }

 private:
  __device__ const T* key_of(std::int32_t point) const {
    const std::int32_t source = w_.sources[point];
    return source < m_.n_merged ? m_.row(HeadArray::rotated, source)
                                : m_.left_key(source - m_.n_merged);
  }
  __device__ const T* value_of(std::int32_t point) const {
    const std::int32_t source = w_.sources[point];
    return source < m_.n_merged ? m_.row(HeadArray::values, source)
                                : m_.left_value(source - m_.n_merged);
  }
  __device__ void fill_moments() const {
    const std::int32_t half = m_.d / 2;
    const float scale = m_.a.shape.scale,
                share = static_cast<float>(kMergeVarianceShare) * scale * scale;
    for (std::int32_t i = thread_; i < m_.a.shape.heads_per_kv * m_.d; i += kThreads) {
      const std::int32_t h = i / m_.d, e = i % m_.d;
      const float* first =
          m_.merge.query_sums +
          (static_cast<std::int64_t>(m_.kv) * m_.a.shape.heads_per_kv + h) * 2 * m_.d;
      const float* second = first + m_.d;
      const auto variance_of = [&](std::int32_t j) {
        const float mean = first[j] / kMergeInterval;
        return second[j] / kMergeInterval - mean * mean;
      };
      w_.means[i] = first[e] / kMergeInterval * scale;
      w_.variances[i] = (variance_of(e % half) + variance_of(e % half + half)) * 0.5f * share;
    }
  }

  // By one thread: the merged tokens that there are, then those that left, and which of these free
  // places take as their first centres, evenly.
  __device__ void list_points() const {
    std::int32_t n = 0;
    for (std::int32_t c = 0; c < m_.n_merged; ++c) {
      const float bias = m_.biases()[c];
      w_.is_used[c] = bias > -INFINITY ? 1 : 0;
      if (w_.is_used[c] == 0) continue;
      w_.sources[n] = c;
      w_.positions[n] = m_.positions()[c];
      w_.biases[n++] = bias - static_cast<float>(kMergeBoost);
    }
    const std::int32_t n_free = m_.n_merged - n;
    for (std::int32_t i = 0; i < n_left_; ++i) {
      w_.sources[n] = m_.n_merged + i;
      w_.positions[n] = static_cast<double>(m_.merge.left_positions[i]);
      w_.biases[n++] = 0.0f;
    }
    std::int32_t n_taken = 0;
    for (std::int32_t c = 0; c < m_.n_merged; ++c) {
      w_.place_of[c] = -1;  // what a free place begins with
      if (w_.is_used[c] != 0) continue;
      std::int32_t i = n_taken;
      if (n_left_ > n_free) i = n_free == 1 ? 0 : n_taken * (n_left_ - 1) / (n_free - 1);
      ++n_taken;
      if (i >= n_left_) continue;
      w_.is_used[c] = 1;
      w_.place_of[c] = i;
    }
  }

  __device__ std::int32_t count_points() const {
    std::int32_t n = n_left_;
    for (std::int32_t c = 0; c < m_.n_merged; ++c)
      n += w_.is_used[c] != 0 && w_.place_of[c] < 0 ? 1 : 0;
    return n;
  }

  __device__ void first_centres() const {
    for (std::int32_t i = thread_; i < m_.n_merged * m_.d; i += kThreads) {
      const std::int32_t c = i / m_.d, e = i % m_.d, left = w_.place_of[c];
      if (w_.is_used[c] != 0)
        w_.place_keys[i] =
            to_float(left < 0 ? m_.row(HeadArray::rotated, c)[e] : m_.left_key(left)[e]);
    }
    __syncthreads();
  }

  // The logarithm of what a key weighs for query head h, by a warp.
  template <class K>
  __device__ float log_mass(const K* key, std::int32_t h) const {
    const float *mean = w_.means + h * m_.d, *variance = w_.variances + h * m_.d;
    float sum = 0.0f;
    for (std::int32_t e = lane_; e < m_.d; e += kLanes) {
      const float k = to_float(key[e]);
      sum += k * mean[e] + k * k * variance[e];
    }
    return warp_sum(sum);
  }

  // masses: the means over the heads of the points' shares of the softmax.
  __device__ void weigh() const {
    const std::int32_t n = n_points_ + n_live_, n_heads = m_.a.shape.heads_per_kv;
    for (std::int32_t i = thread_; i < n_points_; i += kThreads) w_.masses[i] = 0.0f;
    for (std::int32_t h = 0; h < n_heads; ++h) {
      for (std::int32_t i = warp_; i < n; i += kWarps) {
        const T* key =
            i < n_points_ ? key_of(i) : m_.row(HeadArray::rotated, m_.n_merged + i - n_points_);
        const float log = log_mass(key, h);
        if (lane_ == 0) w_.logs[i] = log + (i < n_points_ ? w_.biases[i] : 0.0f);
      }
      __syncthreads();
      float top = -INFINITY, sum = 0.0f;
      for (std::int32_t i = thread_; i < n; i += kThreads) top = fmaxf(top, w_.logs[i]);
      top = block_max(top, reduced_);
      for (std::int32_t i = thread_; i < n; i += kThreads) sum += expf(w_.logs[i] - top);
      const float log_sum = top + logf(block_sum(sum, reduced_));
      if (thread_ == 0) w_.log_sums[h] = log_sum;
      for (std::int32_t i = thread_; i < n_points_; i += kThreads)
        w_.masses[i] += expf(w_.logs[i] - log_sum);
      __syncthreads();
    }
    const auto lowest = static_cast<float>(kLowestMergeMass);
    for (std::int32_t i = thread_; i < n_points_; i += kThreads) {
      const float mass = w_.masses[i] / static_cast<float>(n_heads);
      w_.masses[i] = mass < lowest ? lowest : mass;
    }
    __syncthreads();
  }

  // The nearest place of each point, and the places' masses.
  __device__ void assign() const {
    for (std::int32_t i = warp_; i < n_points_; i += kWarps) {
      const T* key = key_of(i);
      std::int32_t best = 0;
      float lowest = INFINITY;
      for (std::int32_t c = 0; c < m_.n_merged; ++c) {
        if (w_.is_used[c] == 0) continue;
        float sum = 0.0f;
        for (std::int32_t e = lane_; e < m_.d; e += kLanes) {
          const float x = to_float(key[e]) - w_.place_keys[c * m_.d + e];
          sum += x * x;
        }
        sum = warp_sum(sum);
        if (!(sum < lowest)) continue;
        lowest = sum;
        best = c;
      }
      if (lane_ == 0) w_.place_of[i] = best;
    }
    __syncthreads();
    for (std::int32_t c = thread_; c < m_.n_merged; c += kThreads) {
      float mass = 0.0f;
      for (std::int32_t i = 0; i < n_points_; ++i)
        mass += w_.place_of[i] == c ? w_.masses[i] : 0.0f;
      w_.place_masses[c] = mass;
    }
    __syncthreads();
  }

  // Of the points' keys or values, by mass; places without points stay.
  __device__ void means_of_places(float* means, bool of_keys) const {
    for (std::int32_t j = thread_; j < m_.n_merged * m_.d; j += kThreads) {
      const std::int32_t c = j / m_.d, e = j % m_.d;
      if (w_.place_masses[c] == 0.0f) continue;
      float sum = 0.0f;
      for (std::int32_t i = 0; i < n_points_; ++i) {
        if (w_.place_of[i] != c) continue;
        sum += to_float(of_keys ? key_of(i)[e] : value_of(i)[e]) * w_.masses[i];
      }
      means[j] = sum * (1.0f / w_.place_masses[c]);
    }
    __syncthreads();
  }

  // Puts the places into the state.
  __device__ void store() const {
    const std::int32_t n = m_.n_merged;
    for (std::int32_t c = thread_; c < n; c += kThreads) {
      double sum = 0.0;
      for (std::int32_t i = 0; i < n_points_; ++i) {
        if (w_.place_of[i] == c) sum += static_cast<double>(w_.masses[i]) * w_.positions[i];
      }
      w_.is_used[c] = w_.place_masses[c] > 0.0f ? 1 : 0;
      m_.positions()[c] = w_.is_used[c] != 0 ? sum / static_cast<double>(w_.place_masses[c]) : 0.0;
    }
    __syncthreads();
    for (std::int32_t c = warp_; c < n; c += kWarps) store_bias(c);
    for (std::int32_t j = thread_; j < n * m_.d; j += kThreads) {
      if (w_.is_used[j / m_.d] == 0) continue;
      m_.row(HeadArray::rotated, 0)[j] = from_float<T>(w_.place_keys[j]);
      m_.row(HeadArray::values, 0)[j] = from_float<T>(w_.place_values[j]);
    }
  }

  __device__ void store_bias(std::int32_t c) const {
    const std::int32_t n_heads = m_.a.shape.heads_per_kv;
    const auto lowest = static_cast<float>(kLowestMergeMass),
               most = static_cast<float>(kMostMergeBias);
    float own = 0.0f;
    for (std::int32_t h = 0; h < n_heads && w_.is_used[c] != 0; ++h)
      own += expf(log_mass(w_.place_keys + c * m_.d, h) - w_.log_sums[h]);
    own /= static_cast<float>(n_heads);
    if (lane_ != 0) return;
    float bias = logf(w_.place_masses[c]) - logf(own < lowest ? lowest : own);
    bias = bias > most ? most : bias < -most ? -most : bias;
    m_.biases()[c] = w_.is_used[c] != 0 ? bias + static_cast<float>(kMergeBoost) : -INFINITY;
  }

  const MergedHead<T>& m_;
  const MergeMemory& w_;
  std::int32_t n_left_, n_live_, n_points_ = 0;
  float* reduced_;
  std::int32_t thread_, warp_, lane_;
};

}  // namespace tovamill::cuda::head_merge
