// The merge of the tokens that left a KV head (kernels/README.md, "Merged tokens"): their shares of
// the softmax, k-means over the keys, means of keys and values. Included by the isa_*.cc files
// only.
//
// Operations: (n_points + n_live) * n_heads * dim for the shares, (rounds + 1) * n_points *
// n_places
// * dim for the clusters. Sums run over the points in their order.
#pragma once

#include <cmath>

#include "kernels/cpu/isa_kernels.h"
#include "kernels/cpu/isa_rows.h"
#include "kernels/cpu/simd.h"
#include "kernels/types/merge_rule.h"

namespace {

using tovamill::cpu::MergeTask;

inline float log_mass(const float* key, const float* mean, const float* variance,
                      std::int32_t dim) {
  Vf sum{};
  for (std::int32_t i = 0; i < dim; i += kLanes) {
    const Vf k = load(key + i);
    sum += k * load(mean + i) + k * k * load(variance + i);
  }
  return fold_sum(sum);
}

// The logarithm of a head's sum over all keys, whose own logarithms stand in `logs`.
inline float log_sum(const float* logs, std::int32_t n) {
  float highest = logs[0];
  for (std::int32_t i = 1; i < n; ++i) highest = logs[i] > highest ? logs[i] : highest;
  Vf sums{};
  std::int32_t i = 0;
  for (; i + kLanes <= n; i += kLanes) sums += exp2((load(logs + i) - highest) * kLog2E);
  float sum = fold_sum(sums);
  for (; i < n; ++i) sum += std::exp(logs[i] - highest);
  return highest + std::log(sum);
}

inline float mean_mass(const MergeTask& t, const float* key, float bias) {
  float mass = 0.0f;
  for (std::int32_t h = 0; h < t.n_heads; ++h)
    mass += std::exp(log_mass(key, t.means + h * t.dim, t.variances + h * t.dim, t.dim) + bias -
                     t.log_sums[h]);
  return mass / static_cast<float>(t.n_heads);
}

// Sums over the dimensions of four rows at a time, each by term(row, i) of the vector from i on: a
// sum of lanes takes as long for one. Rows behind the last are the last one again.
template <class Term, class Take>
inline void sum_rows_of_four(const float* rows, std::int32_t n, std::int32_t dim, Term&& term,
                             Take&& take) {
  for (std::int32_t first = 0; first < n; first += 4) {
    const float* row[4];
    for (std::int32_t k = 0; k < 4; ++k)
      row[k] = rows + std::int64_t{first + k < n ? first + k : n - 1} * dim;
    Vf sum[4] = {};
    for (std::int32_t i = 0; i < dim; i += kLanes) {
      for (int k = 0; k < 4; ++k) sum[k] += term(row[k], i);
    }
    const Vf4 sums = sum_lanes(sum[0], sum[1], sum[2], sum[3]);
    for (std::int32_t k = 0; k < 4 && first + k < n; ++k) take(first + k, sums[k]);
  }
}

// masses[i]: the mean over heads of point i's share of the softmax.
inline void weigh(const MergeTask& t) {
  const std::int32_t n = t.n_points + t.n_live;
  for (std::int32_t i = 0; i < t.n_points; ++i) t.masses[i] = 0.0f;
  for (std::int32_t h = 0; h < t.n_heads; ++h) {
    const float *mean = t.means + h * t.dim, *variance = t.variances + h * t.dim;
    sum_rows_of_four(
        t.keys, n, t.dim,
        [&](const float* row, std::int32_t i) {
          const Vf k = load(row + i);
          return k * load(mean + i) + k * k * load(variance + i);
        },
        [&](std::int32_t i, float sum) {
          t.logs[i] = sum + (i < t.n_points ? t.biases[i] : 0.0f);
        });
    t.log_sums[h] = log_sum(t.logs, n);
    for (std::int32_t i = 0; i < t.n_points; ++i)
      t.masses[i] += std::exp(t.logs[i] - t.log_sums[h]);
  }
  for (std::int32_t i = 0; i < t.n_points; ++i) {
    const float mass = t.masses[i] / static_cast<float>(t.n_heads);
    const auto lowest = static_cast<float>(tovamill::kLowestMergeMass);
    t.masses[i] = mass < lowest ? lowest : mass;
  }
}

inline std::int32_t nearest_place(const MergeTask& t, const float* key) {
  std::int32_t best = 0;
  float lowest = INFINITY;
  sum_rows_of_four(
      t.place_keys, t.n_places, t.dim,
      [&](const float* row, std::int32_t i) {
        const Vf d = load(key + i) - load(row + i);
        return d * d;
      },
      [&](std::int32_t c, float distance) {
        if (t.is_used[c] == 0 || !(distance < lowest)) return;
        lowest = distance;
        best = c;
      });
  return best;
}

inline void add_times(float* sum, const float* row, float factor, std::int32_t dim) {
  for (std::int32_t i = 0; i < dim; i += kLanes)
    store(sum + i, load(sum + i) + load(row + i) * factor);
}

// Means of `rows` (n_points, dim) over the points of each place, by their masses, into `means`;
// those of places without points stay.
inline void mean_of_places(const MergeTask& t, const float* rows, float* means) {
  for (std::int32_t c = 0; c < t.n_places; ++c) {
    if (t.place_masses[c] == 0.0f) continue;
    float* mean = means + std::int64_t{c} * t.dim;
    for (std::int32_t i = 0; i < t.dim; i += kLanes) store(mean + i, Vf{});
  }
  for (std::int32_t i = 0; i < t.n_points; ++i)
    add_times(means + std::int64_t{t.place_of[i]} * t.dim, rows + std::int64_t{i} * t.dim,
              t.masses[i], t.dim);
  for (std::int32_t c = 0; c < t.n_places; ++c) {
    if (t.place_masses[c] == 0.0f) continue;
    float* mean = means + std::int64_t{c} * t.dim;
    const float factor = 1.0f / t.place_masses[c];
    for (std::int32_t i = 0; i < t.dim; i += kLanes) store(mean + i, load(mean + i) * factor);
  }
}

// place_of and place_masses.
inline void assign(const MergeTask& t) {
  for (std::int32_t c = 0; c < t.n_places; ++c) t.place_masses[c] = 0.0f;
  for (std::int32_t i = 0; i < t.n_points; ++i) {
    t.place_of[i] = nearest_place(t, t.keys + std::int64_t{i} * t.dim);
    t.place_masses[t.place_of[i]] += t.masses[i];
  }
}

void merge_tokens(const MergeTask& t) {
  weigh(t);
  for (std::int32_t round = 0; round < tovamill::kMergeRounds; ++round) {
    assign(t);
    mean_of_places(t, t.keys, t.place_keys);
  }
  assign(t);
  mean_of_places(t, t.keys, t.place_keys);
  mean_of_places(t, t.values, t.place_values);
  for (std::int32_t c = 0; c < t.n_places; ++c) {
    t.is_used[c] = t.place_masses[c] > 0.0f ? 1 : 0;
    t.place_positions[c] = 0.0;
  }
  for (std::int32_t i = 0; i < t.n_points; ++i)
    t.place_positions[t.place_of[i]] += static_cast<double>(t.masses[i]) * t.positions[i];
  for (std::int32_t c = 0; c < t.n_places; ++c) {
    if (t.is_used[c] == 0) continue;
    t.place_positions[c] /= static_cast<double>(t.place_masses[c]);
    const auto lowest = static_cast<float>(tovamill::kLowestMergeMass),
               most = static_cast<float>(tovamill::kMostMergeBias);
    const float own = mean_mass(t, t.place_keys + std::int64_t{c} * t.dim, 0.0f);
    const float bias = std::log(t.place_masses[c]) - std::log(own < lowest ? lowest : own);
    t.place_biases[c] = bias > most ? most : bias < -most ? -most : bias;
  }
}

}  // namespace
