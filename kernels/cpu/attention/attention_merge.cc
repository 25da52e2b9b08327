#include "kernels/cpu/attention/attention_merge.h"

#include <algorithm>
#include <cmath>
#include <cstring>

#include "kernels/cpu/attention/stored_rows.h"
#include "kernels/types/merge_rule.h"

namespace tovamill::cpu {
namespace {

float* floats(const AlignedBytes& bytes) { return reinterpret_cast<float*>(bytes.data()); }

constexpr auto kBoost = static_cast<float>(kMergeBoost);

// Where a KV head's row of a token that left lies.
std::byte* left_row(const LayerPass& pass, std::byte* rows, std::int32_t kv, std::int32_t i) {
  return row_of(pass.model, rows, std::int64_t{kv} * kMergeInterval + i);
}

void copy_left(const LayerPass& pass, const CpuState& state, const MergeRows& rows, std::int32_t kv,
               std::int32_t slot, std::int32_t i) {
  const std::size_t n = pass.model.row_bytes();
  std::memcpy(left_row(pass, rows.left_keys, kv, i),
              row_of(pass.model, state.rotated(pass.layer, kv), slot), n);
  std::memcpy(left_row(pass, rows.left_values, kv, i),
              row_of(pass.model, state.values(pass.layer, kv), slot), n);
}

// Means and variances of the interval's queries as a MergeTask wants them.
void fill_moments(const LayerPass& pass, const float* sums, std::int32_t kv, float* moments) {
  const AttentionModel& model = pass.model;
  const std::int32_t d = model.shape.head_dim, half = d / 2;
  const float share = static_cast<float>(kMergeVarianceShare) * pass.scale * pass.scale;
  for (std::int32_t h = 0; h < model.per_kv; ++h) {
    const float* first = sums + std::int64_t{kv * model.per_kv + h} * 2 * d;
    const float* second = first + d;
    float* mean = moments + std::int64_t{h} * model.padded_dim;
    float* variance = mean + std::int64_t{model.per_kv} * model.padded_dim;
    const auto variance_of = [&](std::int32_t i) {
      const float m = first[i] / kMergeInterval;
      return second[i] / kMergeInterval - m * m;
    };
    for (std::int32_t i = 0; i < d; ++i) mean[i] = first[i] / kMergeInterval * pass.scale;
    for (std::int32_t i = 0; i < half; ++i)
      variance[i] = variance[i + half] = (variance_of(i) + variance_of(i + half)) * 0.5f * share;
  }
}

// The task's points and live keys, and its first centres: of used places their keys, of free ones
// tokens that left, evenly, as long as there are any.
void gather(const LayerPass& pass, const CpuState& state, const MergeRows& rows, std::int32_t kv,
            MergeScratch& scratch, MergeTask& task) {
  const AttentionModel& model = pass.model;
  const std::int32_t n_merged = task.n_places, n_left = *rows.n_left;
  const std::byte *keys = state.rotated(pass.layer, kv), *values = state.values(pass.layer, kv);
  const auto row = [&](const std::byte* of, std::int64_t slot) {
    return of + slot * static_cast<std::int64_t>(model.row_bytes());
  };
  const auto at = [&](const AlignedBytes& to, std::int64_t i) {
    return floats(to) + i * model.padded_dim;
  };
  std::int32_t n_points = 0;
  for (std::int32_t c = 0; c < n_merged; ++c) {
    const float bias = rows.score_biases[kv * n_merged + c];
    const auto place = static_cast<std::size_t>(c), point = static_cast<std::size_t>(n_points);
    scratch.is_used[place] = bias > -INFINITY ? 1 : 0;
    if (scratch.is_used[place] == 0) continue;
    from_storage(pass, row(keys, c), at(scratch.keys, n_points));
    from_storage(pass, row(keys, c), at(scratch.places, c));
    from_storage(pass, row(values, c), at(scratch.values, n_points));
    scratch.positions[point] = rows.positions[kv * n_merged + c];
    scratch.biases[point] = bias * pass.scale - kBoost;
    ++n_points;
  }
  const std::int32_t n_free = n_merged - n_points;
  std::int32_t n_taken = 0;
  for (std::int32_t c = 0; c < n_merged; ++c) {
    const auto place = static_cast<std::size_t>(c);
    if (scratch.is_used[place] != 0) continue;
    std::int32_t i = n_taken;
    if (n_left > n_free) i = n_free == 1 ? 0 : n_taken * (n_left - 1) / (n_free - 1);
    ++n_taken;
    if (i >= n_left) continue;
    scratch.is_used[place] = 1;
    from_storage(pass, left_row(pass, rows.left_keys, kv, i), at(scratch.places, c));
  }
  for (std::int32_t i = 0; i < n_left; ++i, ++n_points) {
    const auto point = static_cast<std::size_t>(n_points);
    from_storage(pass, left_row(pass, rows.left_keys, kv, i), at(scratch.keys, n_points));
    from_storage(pass, left_row(pass, rows.left_values, kv, i), at(scratch.values, n_points));
    scratch.positions[point] = rows.left_positions[i];
    scratch.biases[point] = 0.0f;
  }
  task.n_points = n_points;
  task.n_live = state.n_slots(pass.layer) - n_merged;
  for (std::int32_t j = 0; j < task.n_live; ++j)
    from_storage(pass, row(keys, n_merged + j), at(scratch.keys, n_points + j));
}

// Puts the task's places into the state.
void scatter(const LayerPass& pass, const CpuState& state, const MergeRows& rows, std::int32_t kv,
             const MergeTask& task) {
  const AttentionModel& model = pass.model;
  for (std::int32_t c = 0; c < task.n_places; ++c) {
    const std::int32_t i = kv * task.n_places + c;
    const std::int64_t at = std::int64_t{c} * task.dim;
    rows.positions[i] = task.is_used[c] != 0 ? task.place_positions[c] : 0.0;
    rows.score_biases[i] =
        task.is_used[c] != 0 ? (task.place_biases[c] + kBoost) / pass.scale : -INFINITY;
    if (task.is_used[c] == 0) continue;
    to_storage(pass, task.place_keys + at, row_of(model, state.rotated(pass.layer, kv), c));
    to_storage(pass, task.place_values + at, row_of(model, state.values(pass.layer, kv), c));
  }
}

}  // namespace

void add_score_biases(const LayerPass& pass, const Tile& tile, std::int32_t kv, float* scores) {
  const std::int32_t n = tile.state->n_merged(pass.layer);
  if (n == 0) return;
  const float* biases = tile.state->merge_rows(pass.layer).score_biases + kv * n;
  for (std::int32_t j = 0; j < n; ++j) scores[j] += biases[j];
}

void rotate_merged(const LayerPass& pass, const Tile& tile, std::int32_t kv, std::int64_t shift,
                   float* row) {
  const CpuState& state = *tile.state;
  const AttentionModel& model = pass.model;
  const std::int32_t n = state.n_merged(pass.layer), half = model.shape.head_dim / 2;
  if (n == 0) return;
  const std::vector<double>& inv_freq =
      model.shape.ropes.at(static_cast<std::size_t>(pass.shape.rope));
  const auto old = static_cast<double>(state.rotation(pass.layer));
  for (std::int32_t j = 0; j < n; ++j) {
    const double position = state.merge_rows(pass.layer).positions[kv * n + j];
    const double turn =
        std::max(0.0, position - static_cast<double>(shift)) - std::max(0.0, position - old);
    if (turn == 0.0) continue;
    std::byte* key = row_of(model, state.rotated(pass.layer, kv), j);
    from_storage(pass, key, row);
    for (std::int32_t i = 0; i < half; ++i) {
      const double angle = turn * inv_freq[static_cast<std::size_t>(i)];
      const auto c = static_cast<float>(std::cos(angle)), s = static_cast<float>(std::sin(angle));
      const float a = row[i], b = row[i + half];
      row[i] = a * c - b * s;
      row[i + half] = b * c + a * s;
    }
    to_storage(pass, row, key);
  }
}

void add_queries(const LayerPass& pass, const Tile& tile, std::int32_t kv) {
  const AttentionModel& model = pass.model;
  const std::int32_t d = model.shape.head_dim;
  float* sums = tile.state->merge_rows(pass.layer).query_sums;
  for (std::int32_t r = 0; r < tile.n_queries * model.per_kv; ++r) {
    const float* query = pass.query(tile, kv, r);
    float* first = sums + std::int64_t{kv * model.per_kv + r % model.per_kv} * 2 * d;
    float* second = first + d;
    for (std::int32_t i = 0; i < d; ++i) first[i] += query[i];
    for (std::int32_t i = 0; i < d; ++i) second[i] += query[i] * query[i];
  }
}

void keep_left(const LayerPass& pass, const Tile& tile, std::int32_t kv) {
  add_queries(pass, tile, kv);
  const MergeRows rows = tile.state->merge_rows(pass.layer);
  std::int32_t i = *rows.n_left;
  for (std::int32_t q = 0; q < tile.n_queries; ++q) {
    const std::int32_t slot = tile.scratch->evicted[static_cast<std::size_t>(q)];
    if (slot < 0) continue;
    copy_left(pass, *tile.state, rows, kv, slot, i);
    if (kv == 0) rows.left_positions[i] = tile.state->positions(pass.layer, 0)[slot];
    ++i;
  }
}

void count_left(const LayerPass& pass, const Tile& tile) {
  const auto begin = tile.scratch->evicted.begin();
  *tile.state->merge_rows(pass.layer).n_left += static_cast<std::int32_t>(
      std::count_if(begin, begin + tile.n_queries, [](std::int32_t slot) { return slot >= 0; }));
}

void keep_left_slot(const LayerPass& pass, const Tile& tile, std::int32_t slot) {
  const MergeRows rows = tile.state->merge_rows(pass.layer);
  const std::int32_t i = (*rows.n_left)++;
  for (std::int32_t kv = 0; kv < pass.model.shape.n_kv_heads; ++kv)
    copy_left(pass, *tile.state, rows, kv, slot, i);
  rows.left_positions[i] = tile.state->positions(pass.layer, 0)[slot];
}

void merge_left(const LayerPass& pass, const Tile& tile, std::int32_t kv, int thread) {
  const CpuState& state = *tile.state;
  const MergeRows rows = state.merge_rows(pass.layer);
  if (*rows.n_left == 0) return;
  MergeScratch& s = pass.scratch(thread).merge;
  const AttentionModel& model = pass.model;
  const std::int32_t n_merged = state.n_merged(pass.layer), dim = model.padded_dim;
  fill_moments(pass, rows.query_sums, kv, floats(s.moments));
  MergeTask task{.n_places = n_merged,
                 .n_heads = model.per_kv,
                 .dim = dim,
                 .keys = floats(s.keys),
                 .values = floats(s.values),
                 .positions = s.positions.data(),
                 .biases = s.biases.data(),
                 .means = floats(s.moments),
                 .variances = floats(s.moments) + std::int64_t{model.per_kv} * dim,
                 .place_keys = floats(s.places),
                 .is_used = s.is_used.data(),
                 .place_values = floats(s.places) + std::int64_t{n_merged} * dim,
                 .place_positions = s.place_positions.data(),
                 .place_biases = s.place_biases.data(),
                 .logs = s.logs.data(),
                 .log_sums = s.log_sums.data(),
                 .masses = s.masses.data(),
                 .place_masses = s.place_masses.data(),
                 .place_of = s.place_of.data()};
  gather(pass, state, rows, kv, s, task);
  pass.isa.merge_tokens(task);
  scatter(pass, state, rows, kv, task);
}

void forget_left(const LayerPass& pass, const Tile& tile) {
  const MergeRows rows = tile.state->merge_rows(pass.layer);
  const ModelShape& shape = pass.model.shape;
  *rows.n_left = 0;
  std::fill_n(rows.query_sums, std::int64_t{shape.n_heads} * 2 * shape.head_dim, 0.0f);
}

}  // namespace tovamill::cpu
