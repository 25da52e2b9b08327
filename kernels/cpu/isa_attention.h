// The inner loops of attention: small matrix products, the softmax's exponentials, the scan.
// Included by the isa_*.cc files only.
//
// Scan. One query after another, the weights of the living are summed per head (Z_h), then w_j =
// mean_h e_hj / Z_h, then the lowest w_j (or what the policy keeps of it) among those that may
// leave dies; ties go to the lowest position. Cost per query: two passes over (heads, columns) from
// cache, no factor of the head size, no exponential. A dead token may have had the row's largest
// score: where Z_h falls below kTinySum the row is restored relative to the living.
#pragma once

#include <cmath>

#include "kernels/cpu/isa_kernels.h"
#include "kernels/cpu/simd.h"
#include "kernels/policy/policies.h"

namespace {

using tovamill::cpu::kAlive;
using tovamill::cpu::ScanTile;

// 2^-40: living weights keep at least 2^-50 of the largest, so those within 2^-76 of the highest
// living one are normal.
constexpr float kTinySum = 9.094947e-13f;

// Rows by vectors of one register block; 32 registers take 6 x 4 accumulators, 16 take 4 x 2 or 6
// x 2.
constexpr int kBlockRows = 6;
constexpr int kBlockVectors = kLanes == 16 ? 4 : 2;

template <int kRows, int kVectors>
inline void multiply_block(const float* const* a, std::int32_t depth, const float* b,
                           std::int64_t ldb, float* c, std::int64_t ldc) {
  Vf acc[kRows][kVectors] = {};
  const float* rows[kRows];
#pragma GCC unroll 8
  for (int r = 0; r < kRows; ++r) rows[r] = a[r];
  for (std::int32_t k = 0; k < depth; ++k) {
    Vf bk[kVectors];
#pragma GCC unroll 8
    for (int v = 0; v < kVectors; ++v) bk[v] = load(b + k * ldb + v * kLanes);
#pragma GCC unroll 8
    for (int r = 0; r < kRows; ++r) {
      const Vf ar = splat(rows[r][k]);
#pragma GCC unroll 8
      for (int v = 0; v < kVectors; ++v) acc[r][v] += ar * bk[v];
    }
  }
#pragma GCC unroll 8
  for (int r = 0; r < kRows; ++r) {
#pragma GCC unroll 8
    for (int v = 0; v < kVectors; ++v) store(c + r * ldc + v * kLanes, acc[r][v]);
  }
}

template <int kVectors>
inline void multiply_rows(const float* const* a, std::int32_t n_rows, std::int32_t depth,
                          const float* b, std::int64_t ldb, float* c, std::int64_t ldc) {
  std::int32_t r = 0;
  for (; r + kBlockRows <= n_rows; r += kBlockRows)
    multiply_block<kBlockRows, kVectors>(a + r, depth, b, ldb, c + r * ldc, ldc);
  switch (n_rows - r) {
    case 5:
      multiply_block<5, kVectors>(a + r, depth, b, ldb, c + r * ldc, ldc);
      break;
    case 4:
      multiply_block<4, kVectors>(a + r, depth, b, ldb, c + r * ldc, ldc);
      break;
    case 3:
      multiply_block<3, kVectors>(a + r, depth, b, ldb, c + r * ldc, ldc);
      break;
    case 2:
      multiply_block<2, kVectors>(a + r, depth, b, ldb, c + r * ldc, ldc);
      break;
    case 1:
      multiply_block<1, kVectors>(a + r, depth, b, ldb, c + r * ldc, ldc);
      break;
    default:
      break;
  }
}

void multiply(const float* const* a, std::int32_t n_rows, std::int32_t depth, const float* b,
              std::int64_t ldb, std::int32_t n_cols, float* c, std::int64_t ldc) {
  constexpr std::int32_t kWide = kBlockVectors * kLanes;
  std::int32_t j = 0;
  for (; j + kWide <= n_cols; j += kWide)
    multiply_rows<kBlockVectors>(a, n_rows, depth, b + j, ldb, c + j, ldc);
  for (; j < n_cols; j += kLanes) multiply_rows<1>(a, n_rows, depth, b + j, ldb, c + j, ldc);
}

float exponentiate(float* row, std::int32_t n, std::int32_t padded, float scale,
                   const std::int32_t* positions, std::int32_t hidden_below,
                   const std::int32_t* death, std::int32_t step) {
  const Vf lowest = splat(-INFINITY);
  for (std::int32_t j = n; j < padded; ++j) row[j] = -INFINITY;
  Vf top = lowest;
  Vi not_numbers{};
  for (std::int32_t j = 0; j < padded; j += kLanes) {
    Vf x = load(row + j);
    if (positions != nullptr) x = load(positions + j) > splat(hidden_below) ? x : lowest;
    if (death != nullptr) x = load(death + j) >= splat(step) ? x : lowest;
    if (positions != nullptr || death != nullptr) store(row + j, x);
    not_numbers |= x != x;
    top = max(top, x);
  }
  const float highest = fold_max(top);
  const bool is_number = !any_lane(not_numbers);
  if (!is_number || highest == -INFINITY) {
    const float value = is_number ? 0.0f : NAN;
    for (std::int32_t j = 0; j < padded; ++j) row[j] = value;
    return value;
  }
  const float factor = scale * kLog2E;
  Vf sum{};
  for (std::int32_t j = 0; j < padded; j += kLanes) {
    const Vf e = exp2((load(row + j) - highest) * factor);
    store(row + j, e);
    sum += e;
  }
  return fold_sum(sum);
}

float mask(const float* row, const std::int32_t* death, std::int32_t step, std::int32_t n,
           float* out) {
  Vf sum{};
  const Vi t = splat(step);
  for (std::int32_t j = 0; j < n; j += kLanes) {
    const Vf x = load(death + j) >= t ? load(row + j) : Vf{};
    store(out + j, x);
    sum += x;
  }
  return fold_sum(sum);
}

inline float living_sum(const float* row, const std::int32_t* death, std::int32_t step,
                        std::int32_t n) {
  Vf sum{};
  const Vi t = splat(step);
  for (std::int32_t j = 0; j < n; j += kLanes) sum += load(death + j) >= t ? load(row + j) : Vf{};
  return fold_sum(sum);
}

// mean_weight[j] = mean over heads of the weights of query `step`, dead columns not yet masked.
void mean_weights(const ScanTile& t, std::int32_t step, std::int32_t n) {
  const float share = 1.0f / static_cast<float>(t.n_heads);
  for (std::int32_t h = 0; h < t.n_heads; ++h) {
    const float* row = t.weights[h] + step * t.step_stride;
    float sum = living_sum(row, t.death, step, n);
    if (!(sum >= kTinySum)) {
      t.restore(t.restore_context, h, step);
      sum = living_sum(row, t.death, step, n);
    }
    t.inverse_sum[h * t.n_steps + step] = 1.0f / sum;
  }
  for (std::int32_t j = 0; j < n; j += kLanes) {
    Vf w{};
    const std::int64_t at = step * t.step_stride + j;
    for (std::int32_t h = 0; h < t.n_heads; ++h)
      w += load(t.weights[h] + at) * t.inverse_sum[h * t.n_steps + step];
    store(t.mean_weight + j, w * share);
  }
}

// What a rule remembers of the columns from j on, the newest weights included. Whole vectors: what
// lies behind the tile's newest token is overwritten at its birth.
template <class Rule>
inline tovamill::MemoryOf<Vf> remember_columns(const ScanTile& t, std::int32_t j, Vf weight) {
  using tovamill::PolicyMemory;
  tovamill::MemoryOf<Vf> memory;
  if constexpr (Rule::kMemory != PolicyMemory::none) memory.sum = load(t.memory + j);
  if constexpr (Rule::kMemory == PolicyMemory::average) {
    memory.decay_power = load(t.decay_power + j);
    memory.value_norm = load(t.value_norm + j);
  }
  Rule::remember(t.rule, weight, memory);
  if constexpr (Rule::kMemory != PolicyMemory::none) store(t.memory + j, memory.sum);
  if constexpr (Rule::kMemory == PolicyMemory::average)
    store(t.decay_power + j, memory.decay_power);
  return memory;
}

// The lowest score so far in each lane, and the oldest token.
struct LowestOfLanes {
  Vf score = splat(INFINITY);
  Vi position = splat(kAlive), column = splat(-1);
  Vi oldest = splat(kAlive), oldest_column = splat(-1);

  void add(Vi may, Vf s, Vi p, std::int32_t j) {
    const Vi lower = may & ((s < score) | ((s == score) & (p < position)));
    score = lower ? s : score;
    position = lower ? p : position;
    column = lower ? splat(j) : column;
    const Vi older = may & (p < oldest);
    oldest = older ? p : oldest;
    oldest_column = older ? splat(j) : oldest_column;
  }
  // Of all lanes: ties to the lowest position; where no score is a number, the oldest; -1 where
  // there is none.
  std::int32_t chosen() const {
    int best = -1, first = -1;
    for (int i = 0; i < kLanes; ++i) {
      if (oldest_column[i] >= 0 && (first < 0 || oldest[i] < oldest[first])) first = i;
      if (column[i] < 0) continue;
      if (best < 0 || score[i] < score[best] ||
          (score[i] == score[best] && position[i] < position[best]))
        best = i;
    }
    if (best >= 0) return column[best] + best;
    return first >= 0 ? oldest_column[first] + first : -1;
  }
};

// Adds the newest weights to what the policy remembers; where the state `is_full`, the column that
// leaves, -1 where all are protected. One pass.
template <class Rule>
std::int32_t decide(const ScanTile& t, std::int32_t step, std::int32_t n, bool is_full) {
  const tovamill::Decision decision{t.first_position + step, t.layer, t.group};
  const Vi now = splat(step);
  LowestOfLanes lowest;
  for (std::int32_t j = 0; j < n; j += kLanes) {
    const Vf weight = load(t.mean_weight + j);
    const Vi position = load(t.positions + j);
    const tovamill::MemoryOf<Vf> memory = remember_columns<Rule>(t, j, weight);
    if (!is_full) continue;
    const Vf score =
        Rule::score(t.rule, decision, tovamill::ScoredToken<Vf, Vi>{weight, position, memory});
    const Vi may = tovamill::may_leave(t.rule, position, decision.now);
    lowest.add((load(t.death + j) >= now) & may, score, position, j);
  }
  return lowest.chosen();
}

template <class Rule>
void scan_by(const ScanTile& t) {
  constexpr bool kRemembers = Rule::kMemory != tovamill::PolicyMemory::none;
  std::int32_t living = t.n_state;
  for (std::int32_t j = 0; j < t.ld; ++j) t.death[j] = j < t.n_state ? kAlive : -1;
  for (std::int32_t step = 0; step < t.n_steps; ++step) {
    const std::int32_t born = t.n_state + step;
    t.death[born] = kAlive;
    if (t.memory != nullptr) t.memory[born] = 0.0f;
    if (t.decay_power != nullptr) t.decay_power[born] = 1.0f;
    ++living;
    t.evicted[step] = -1;
    const bool is_full = living > t.rule.cache_size;
    if (!is_full && !kRemembers) {
      for (std::int32_t h = 0; h < t.n_heads; ++h) t.inverse_sum[h * t.n_steps + step] = 0.0f;
      continue;
    }
    const std::int32_t columns = t.n_state + step + 1;
    const std::int32_t n = (columns + kLanes - 1) / kLanes * kLanes;
    mean_weights(t, step, n);
    const std::int32_t out = decide<Rule>(t, step, n, is_full);
    if (out < 0) continue;
    t.death[out] = step;
    t.evicted[step] = out;
    t.evicted_weight[step] = t.mean_weight[out];
    --living;
  }
}

void scan(const ScanTile& t) {
  tovamill::with_rule(t.rule.policy, [&](auto rule) {
    if constexpr (decltype(rule)::kNeedsScan) scan_by<decltype(rule)>(t);
  });
}

}  // namespace
