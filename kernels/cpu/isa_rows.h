// Products with rows as a state stores them (n_rows, depth), float32 or bf16, for the few queries
// that share a KV head: scores row by row, and weighted sums of rows. Each row is read from memory
// once for all queries. Included by the isa_*.cc files only.
//
// Bytes moved: n_rows * depth * (4 or 2). What a row gives does not depend on its neighbours: equal
// rows tie exactly.
#pragma once

#include "kernels/cpu/isa_elementwise.h"
#include "kernels/cpu/simd.h"
#include "kernels/types/model_limits.h"

namespace {

inline Vf load_row(const float* p) { return load(p); }
inline Vf load_row(const std::uint16_t* p) { return load_bf16(p); }
inline float value_of(float x) { return x; }
inline float value_of(std::uint16_t x) { return bf16_value(x); }

// Two vectors of a row at a time. Of bf16 the first takes the even elements, the second the odd
// ones: a shift and a mask, where widening in order would take several instructions. What meets
// them (queries, sums) is kept in the same order.
constexpr int kPair = 2 * kLanes;
struct Pair {
  Vf first, second;
};
inline Pair load_pair(const float* p) { return {load(p), load(p + kLanes)}; }
inline Pair load_pair(const std::uint16_t* p) {
  Vu u;
  std::memcpy(&u, p, sizeof u);
  const Vu even = u << 16, odd = u & 0xffff0000u;
  return {(Vf)even, (Vf)odd};
}
// Puts the whole pairs of a vector of the depth in that order, and back.
template <class Row>
inline void to_pairs(const float* from, std::int32_t depth, float* to) {
  std::memcpy(to, from, static_cast<std::size_t>(depth) * 4);
  if constexpr (sizeof(Row) == 4) return;
  for (std::int32_t i = 0; i + kPair <= depth; i += kPair) {
    for (int k = 0; k < kLanes; ++k) {
      to[i + k] = from[i + 2 * k];
      to[i + kLanes + k] = from[i + 2 * k + 1];
    }
  }
}
template <class Row>
inline void from_pairs(float* x, std::int32_t depth) {
  if constexpr (sizeof(Row) == 4) return;
  for (std::int32_t i = 0; i + kPair <= depth; i += kPair) {
    float ordered[kPair];
    for (int k = 0; k < kLanes; ++k) {
      ordered[2 * k] = x[i + k];
      ordered[2 * k + 1] = x[i + kLanes + k];
    }
    std::memcpy(x + i, ordered, sizeof ordered);
  }
}

typedef float Vf4 __attribute__((vector_size(16)));

// Within each quarter of four lanes: the sums of neighbouring lanes, those of a before those of b.
inline Vf add_neighbours(Vf a, Vf b) {
#if TOVAMILL_LANES == 16
  return __builtin_shufflevector(a, b, 0, 2, 16, 18, 4, 6, 20, 22, 8, 10, 24, 26, 12, 14, 28, 30) +
         __builtin_shufflevector(a, b, 1, 3, 17, 19, 5, 7, 21, 23, 9, 11, 25, 27, 13, 15, 29, 31);
#elif TOVAMILL_LANES == 8
  return __builtin_shufflevector(a, b, 0, 2, 8, 10, 4, 6, 12, 14) +
         __builtin_shufflevector(a, b, 1, 3, 9, 11, 5, 7, 13, 15);
#else
  return __builtin_shufflevector(a, b, 0, 2, 4, 6) + __builtin_shufflevector(a, b, 1, 3, 5, 7);
#endif
}

// The sum of all lanes of each of four vectors, in the same order for each.
inline Vf4 sum_lanes(Vf a, Vf b, Vf c, Vf d) {
  const Vf v = add_neighbours(add_neighbours(a, b), add_neighbours(c, d));
#if TOVAMILL_LANES == 16
  return (__builtin_shufflevector(v, v, 0, 1, 2, 3) + __builtin_shufflevector(v, v, 8, 9, 10, 11)) +
         (__builtin_shufflevector(v, v, 4, 5, 6, 7) +
          __builtin_shufflevector(v, v, 12, 13, 14, 15));
#elif TOVAMILL_LANES == 8
  return __builtin_shufflevector(v, v, 0, 1, 2, 3) + __builtin_shufflevector(v, v, 4, 5, 6, 7);
#else
  return v;
#endif
}

// Registers: 4 rows by so many queries of accumulators, 4 rows, and what addresses need.
constexpr int kDotRows = 4;
constexpr int kDotQueries = kLanes == 16 ? 4 : 2;
// Rows that are asked for before they are needed: beyond the page of 4 KiB that the hardware's own
// prefetching stops at.
constexpr int kRowsAhead = 64;

// Longest rows; queries are put in order on the stack.
constexpr std::int32_t kMostDepth = tovamill::kMaxHeadDim;
// Rows that stay in the first cache while all queries and parts of the depth pass over them.
constexpr std::int32_t kNearRows = 64;

// Scores of kDotRows rows (given by pointers) for kQueries queries (kQueries, depth), whole pairs
// in their order; `n` rows are stored.
template <int kQueries, class Row>
inline void dot_block(const float* queries, std::int32_t depth, const Row* const* rows, int n,
                      float* out, std::int64_t ld) {
  Vf acc[kQueries][kDotRows] = {};
  std::int32_t i = 0;
  for (; i + kPair <= depth; i += kPair) {
#pragma GCC unroll 4
    for (int r = 0; r < kDotRows; ++r) {
      const Pair row = load_pair(rows[r] + i);
#pragma GCC unroll 4
      for (int q = 0; q < kQueries; ++q) {
        const float* x = queries + static_cast<std::int64_t>(q) * depth + i;
        acc[q][r] += load(x) * row.first;
        acc[q][r] += load(x + kLanes) * row.second;
      }
    }
  }
  for (; i + kLanes <= depth; i += kLanes) {
#pragma GCC unroll 4
    for (int r = 0; r < kDotRows; ++r) {
      const Vf row = load_row(rows[r] + i);
#pragma GCC unroll 4
      for (int q = 0; q < kQueries; ++q)
        acc[q][r] += load(queries + static_cast<std::int64_t>(q) * depth + i) * row;
    }
  }
#pragma GCC unroll 4
  for (int q = 0; q < kQueries; ++q) {
    float sums[kDotRows];
    const Vf4 s = sum_lanes(acc[q][0], acc[q][1], acc[q][2], acc[q][3]);
    std::memcpy(sums, &s, sizeof s);
    for (std::int32_t t = i; t < depth; ++t) {
      const float x = queries[static_cast<std::int64_t>(q) * depth + t];
      for (int r = 0; r < kDotRows; ++r) sums[r] += x * value_of(rows[r][t]);
    }
    float* to = out + q * ld;
    if (n == kDotRows) {
      std::memcpy(to, sums, sizeof sums);
    } else {
      for (int r = 0; r < n; ++r) to[r] = sums[r];
    }
  }
}

template <int kQueries, class Row>
void dot_queries(const float* queries, std::int32_t depth, const Row* rows, std::int32_t n_rows,
                 float* out, std::int64_t ld) {
  alignas(64) float ordered[kQueries * kMostDepth];
  for (int q = 0; q < kQueries; ++q) {
    const std::int64_t at = static_cast<std::int64_t>(q) * depth;
    to_pairs<Row>(queries + at, depth, ordered + at);
  }
  const std::int64_t line = 64 / static_cast<std::int64_t>(sizeof(Row));
  for (std::int32_t j = 0; j < n_rows; j += kDotRows) {
    const int n = n_rows - j < kDotRows ? n_rows - j : kDotRows;
    const Row* first = rows + static_cast<std::int64_t>(j) * depth;
    for (std::int64_t at = 0; at < kDotRows * depth; at += line)
      __builtin_prefetch(first + kRowsAhead * depth + at);
    // Rows that are not there are stood in for by the last one.
    const Row* four[kDotRows];
    for (int r = 0; r < kDotRows; ++r)
      four[r] = first + static_cast<std::int64_t>(r < n ? r : n - 1) * depth;
    dot_block<kQueries>(ordered, depth, four, n, out + j, ld);
  }
}

// Calls one<n>(q) for the queries [q, q + n) until all are through, n up to kMost.
template <int kMost, class One>
inline void for_each_query_group(std::int32_t n_queries, One one) {
  std::int32_t q = 0;
  for (; q + kMost <= n_queries; q += kMost) one.template operator()<kMost>(q);
  switch (n_queries - q) {
    case 3:
      return one.template operator()<3>(q);
    case 2:
      return one.template operator()<2>(q);
    case 1:
      return one.template operator()<1>(q);
    default:
      return;
  }
}

template <class Row>
void dot_rows(const float* queries, std::int32_t n_queries, std::int32_t depth, const Row* rows,
              std::int32_t n_rows, float* out, std::int64_t ld) {
  for (std::int32_t j = 0; j < n_rows; j += kNearRows) {
    const std::int32_t n = n_rows - j < kNearRows ? n_rows - j : kNearRows;
    const Row* some = rows + static_cast<std::int64_t>(j) * depth;
    for_each_query_group<kDotQueries>(n_queries, [&]<int kQueries>(std::int32_t q) {
      dot_queries<kQueries>(queries + static_cast<std::int64_t>(q) * depth, depth, some, n,
                            out + q * ld + j, ld);
    });
  }
}

constexpr int kAddQueries = kLanes == 16 ? 4 : 2;
constexpr int kAddPairs = 2;

// out (kQueries, ldo) += weights (kQueries, ldw) x rows, over kPairs pairs of the depth.
template <int kQueries, int kPairs, class Row>
inline void add_block(const float* weights, std::int64_t ldw, std::int32_t n_rows, const Row* rows,
                      std::int32_t depth, float* out, std::int64_t ldo) {
  Vf acc[kQueries][2 * kPairs];
#pragma GCC unroll 4
  for (int q = 0; q < kQueries; ++q) {
#pragma GCC unroll 4
    for (int v = 0; v < 2 * kPairs; ++v) acc[q][v] = load(out + q * ldo + v * kLanes);
  }
  for (std::int32_t j = 0; j < n_rows; ++j) {
    const Row* row = rows + static_cast<std::int64_t>(j) * depth;
#pragma GCC unroll 4
    for (int at = 0; at < kPairs * kPair; at += 64 / static_cast<int>(sizeof(Row)))
      __builtin_prefetch(row + kRowsAhead * depth + at);
    Vf w[kQueries];
#pragma GCC unroll 4
    for (int q = 0; q < kQueries; ++q) w[q] = splat(weights[q * ldw + j]);
#pragma GCC unroll 4
    for (int p = 0; p < kPairs; ++p) {
      const Pair x = load_pair(row + p * kPair);
#pragma GCC unroll 4
      for (int q = 0; q < kQueries; ++q) {
        acc[q][2 * p] += w[q] * x.first;
        acc[q][2 * p + 1] += w[q] * x.second;
      }
    }
  }
#pragma GCC unroll 4
  for (int q = 0; q < kQueries; ++q) {
#pragma GCC unroll 4
    for (int v = 0; v < 2 * kPairs; ++v) store(out + q * ldo + v * kLanes, acc[q][v]);
  }
}

template <int kQueries, class Row>
inline void add_queries(const float* weights, std::int64_t ldw, std::int32_t n_rows,
                        const Row* rows, std::int32_t depth, float* out, std::int64_t ldo) {
  std::int32_t i = 0;
  for (; i + kAddPairs * kPair <= depth; i += kAddPairs * kPair)
    add_block<kQueries, kAddPairs>(weights, ldw, n_rows, rows + i, depth, out + i, ldo);
  for (; i + kPair <= depth; i += kPair)
    add_block<kQueries, 1>(weights, ldw, n_rows, rows + i, depth, out + i, ldo);
  for (std::int32_t j = 0; j < n_rows; ++j) {
    const Row* row = rows + static_cast<std::int64_t>(j) * depth;
    for (int q = 0; q < kQueries; ++q) {
      for (std::int32_t t = i; t < depth; ++t)
        out[q * ldo + t] += weights[q * ldw + j] * value_of(row[t]);
    }
  }
}

template <class Row>
void add_rows(const float* weights, std::int64_t ldw, std::int32_t n_queries, const Row* rows,
              std::int32_t n_rows, std::int32_t depth, float* out, std::int64_t ldo) {
  for (std::int32_t q = 0; q < n_queries; ++q) {
    for (std::int32_t i = 0; i < depth; ++i) out[q * ldo + i] = 0.0f;
  }
  for (std::int32_t j = 0; j < n_rows; j += kNearRows) {
    const std::int32_t n = n_rows - j < kNearRows ? n_rows - j : kNearRows;
    const Row* some = rows + static_cast<std::int64_t>(j) * depth;
    for_each_query_group<kAddQueries>(n_queries, [&]<int kQueries>(std::int32_t q) {
      add_queries<kQueries>(weights + q * ldw + j, ldw, n, some, depth, out + q * ldo, ldo);
    });
  }
  for (std::int32_t q = 0; q < n_queries; ++q) from_pairs<Row>(out + q * ldo, depth);
}

}  // namespace
