// The inner loops of attention: small matrix products, the softmax's exponentials, the eviction
// scan.
// Included by the isa_*.cc files only.
//
// Eviction scan. One query after another, the weights of the live are summed per head (Z_h), then
// w_j = mean_h e_hj / Z_h, then the token of the lowest score, by the policy's rule, leaves. Cost
// per query: two passes over (heads, slots) from cache, no factor of the head size, no exponential.
// An evicted token may have had the row's largest score: where Z_h falls below kTinySum the row is
// restored relative to the live.
#pragma once

#include <cmath>

#include "kernels/cpu/isa_kernels.h"
#include "kernels/cpu/simd.h"
#include "kernels/policy/policies.h"

namespace {

using tovamill::cpu::EvictionScan;
using tovamill::cpu::kLive;

// 2^-40: live weights keep at least 2^-50 of the largest, so those within 2^-76 of the highest
// live one are normal.
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
                   const std::int32_t* eviction_step, std::int32_t query,
                   tovamill::cpu::RowSink* sink) {
  const Vf lowest = splat(-INFINITY);
  for (std::int32_t j = n; j < padded; ++j) row[j] = -INFINITY;
  Vf top = lowest;
  Vi not_numbers{};
  for (std::int32_t j = 0; j < padded; j += kLanes) {
    Vf x = load(row + j);
    if (positions != nullptr) x = load(positions + j) > splat(hidden_below) ? x : lowest;
    if (eviction_step != nullptr) x = load(eviction_step + j) >= splat(query) ? x : lowest;
    if (positions != nullptr || eviction_step != nullptr) store(row + j, x);
    not_numbers |= x != x;
    top = max(top, x);
  }
  const float highest = fold_max(top);
  const bool is_number = !any_lane(not_numbers);
  if (!is_number || highest == -INFINITY) {
    const float value = is_number ? 0.0f : NAN;
    if (sink != nullptr) sink->term = is_number ? 1.0f : NAN;
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
  if (sink == nullptr) return fold_sum(sum);
  sink->term = std::exp(sink->score - highest * scale);
  return fold_sum(sum) + sink->term;
}

float mask(const float* row, const std::int32_t* eviction_step, std::int32_t query, std::int32_t n,
           float* out) {
  Vf sum{};
  const Vi t = splat(query);
  for (std::int32_t j = 0; j < n; j += kLanes) {
    const Vf x = load(eviction_step + j) >= t ? load(row + j) : Vf{};
    store(out + j, x);
    sum += x;
  }
  return fold_sum(sum);
}

inline float live_sum(const float* row, const std::int32_t* eviction_step, std::int32_t query,
                      std::int32_t n) {
  Vf sum{};
  const Vi t = splat(query);
  for (std::int32_t j = 0; j < n; j += kLanes)
    sum += load(eviction_step + j) >= t ? load(row + j) : Vf{};
  return fold_sum(sum);
}

// mean_weight[j] = mean over heads of the weights of query `query`, evicted slots not yet masked.
void mean_weights(const EvictionScan& t, std::int32_t query, std::int32_t n) {
  const float share = 1.0f / static_cast<float>(t.n_heads);
  for (std::int32_t h = 0; h < t.n_heads; ++h) {
    const float* row = t.head_rows[h] + query * t.query_stride;
    const auto whole_sum = [&] {
      const float sum = live_sum(row, t.eviction_step, query, n);
      return t.sinks == nullptr ? sum : sum + t.sinks[h * t.n_queries + query].term;
    };
    float sum = whole_sum();
    if (!(sum >= kTinySum)) {
      t.restore(t.restore_context, h, query);
      sum = whole_sum();
    }
    t.inverse_sum[h * t.n_queries + query] = 1.0f / sum;
  }
  for (std::int32_t j = 0; j < n; j += kLanes) {
    Vf w{};
    const std::int64_t at = query * t.query_stride + j;
    for (std::int32_t h = 0; h < t.n_heads; ++h)
      w += load(t.head_rows[h] + at) * t.inverse_sum[h * t.n_queries + query];
    store(t.mean_weight + j, w * share);
  }
}

// What a rule remembers of the slots from j on, the newest weights included. Whole vectors: what
// lies behind the tile's newest token is overwritten when it is appended.
template <class Rule>
inline tovamill::MemoryOf<Vf> remember_slots(const EvictionScan& t, std::int32_t j, Vf weight) {
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
  Vi position = splat(kLive), slot = splat(-1);
  Vi oldest = splat(kLive), oldest_slot = splat(-1);

  void add(Vi may, Vf s, Vi p, std::int32_t j) {
    const Vi lower = may & ((s < score) | ((s == score) & (p < position)));
    score = lower ? s : score;
    position = lower ? p : position;
    slot = lower ? splat(j) : slot;
    const Vi older = may & (p < oldest);
    oldest = older ? p : oldest;
    oldest_slot = older ? splat(j) : oldest_slot;
  }
  // The choice of all lanes: ties to the lowest position; where no score is a number, the oldest;
  // -1 where there is none.
  std::int32_t chosen() const {
    int best = -1, first = -1;
    for (int i = 0; i < kLanes; ++i) {
      if (oldest_slot[i] >= 0 && (first < 0 || oldest[i] < oldest[first])) first = i;
      if (slot[i] < 0) continue;
      if (best < 0 || score[i] < score[best] ||
          (score[i] == score[best] && position[i] < position[best]))
        best = i;
    }
    if (best >= 0) return slot[best] + best;
    return first >= 0 ? oldest_slot[first] + first : -1;
  }
};

// Adds the newest weights to what the policy remembers; where the state `is_full`, the slot that
// leaves, -1 where all are protected. One pass.
template <class Rule>
std::int32_t decide(const EvictionScan& t, std::int32_t query, std::int32_t n, bool is_full) {
  tovamill::Decision decision = t.first_decision;
  decision.now += query;
  const Vi now = splat(query);
  LowestOfLanes lowest;
  for (std::int32_t j = 0; j < n; j += kLanes) {
    const Vf weight = load(t.mean_weight + j);
    const Vi position = load(t.positions + j);
    const tovamill::MemoryOf<Vf> memory = remember_slots<Rule>(t, j, weight);
    if (!is_full) continue;
    const Vf score =
        Rule::score(t.rule, decision, tovamill::ScoredToken<Vf, Vi>{weight, position, memory});
    const Vi may = tovamill::may_leave(t.rule, position, decision.now);
    lowest.add((load(t.eviction_step + j) >= now) & may, score, position, j);
  }
  return lowest.chosen();
}

template <class Rule>
void scan_by(const EvictionScan& t) {
  constexpr bool kRemembers = Rule::kMemory != tovamill::PolicyMemory::none;
  std::int32_t n_live = t.n_state;
  for (std::int32_t j = 0; j < t.ld; ++j) t.eviction_step[j] = j < t.n_state ? kLive : -1;
  for (std::int32_t query = 0; query < t.n_queries; ++query) {
    const std::int32_t newest = t.n_state + query;
    t.eviction_step[newest] = kLive;
    if (t.memory != nullptr) t.memory[newest] = 0.0f;
    if (t.decay_power != nullptr) t.decay_power[newest] = 1.0f;
    ++n_live;
    t.evicted[query] = -1;
    const bool is_full = n_live > t.rule.cache_size;
    if (!is_full && !kRemembers) {
      for (std::int32_t h = 0; h < t.n_heads; ++h) t.inverse_sum[h * t.n_queries + query] = 0.0f;
      continue;
    }
    const std::int32_t n_slots = t.n_state + query + 1;
    const std::int32_t n = (n_slots + kLanes - 1) / kLanes * kLanes;
    mean_weights(t, query, n);
    const std::int32_t out = decide<Rule>(t, query, n, is_full);
    if (out < 0) continue;
    t.eviction_step[out] = query;
    t.evicted[query] = out;
    t.evicted_weight[query] = t.mean_weight[out];
    --n_live;
  }
}

void scan_evictions(const EvictionScan& t) {
  tovamill::with_rule(t.rule.policy, [&](auto rule) {
    if constexpr (decltype(rule)::kIsBounded) scan_by<decltype(rule)>(t);
  });
}

}  // namespace
