// Products with rows as a state stores them (n_rows, depth), float32 or bf16, for the few queries
// that share a KV head: scores row by row, and weighted sums of rows. Each row is read from memory
// once for all queries. Included by the isa_*.cc files only.
//
// Bytes moved: n_rows * depth * (4 or 2). What a row gives does not depend on its neighbours: equal
// rows tie exactly.
#pragma once

#include "kernels/cpu/isa_elementwise.h"
#include "kernels/cpu/simd.h"

namespace {

inline Vf load_row(const float* p) { return load(p); }
inline Vf load_row(const std::uint16_t* p) { return load_bf16(p); }
inline float value_of(float x) { return x; }
inline float value_of(std::uint16_t x) { return bf16_value(x); }

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
// Rows that are asked for before they are needed; a page is 32 rows of 64 bf16.
constexpr int kRowsAhead = 16;

// Scores of kDotRows rows (given by pointers) for kQueries queries; `n` rows are stored.
template <int kQueries, class Row>
inline void dot_block(const float* queries, std::int32_t depth, const Row* const* rows, int n,
                      float* out, std::int64_t ld) {
  Vf acc[kQueries][kDotRows] = {};
  std::int32_t i = 0;
  for (; i + kLanes <= depth; i += kLanes) {
    Vf row[kDotRows];
#pragma GCC unroll 4
    for (int r = 0; r < kDotRows; ++r) row[r] = load_row(rows[r] + i);
#pragma GCC unroll 4
    for (int q = 0; q < kQueries; ++q) {
      const Vf x = load(queries + static_cast<std::int64_t>(q) * depth + i);
#pragma GCC unroll 4
      for (int r = 0; r < kDotRows; ++r) acc[q][r] += x * row[r];
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

template <class Row>
void dot_rows(const float* queries, std::int32_t n_queries, std::int32_t depth, const Row* rows,
              std::int32_t n_rows, float* out, std::int64_t ld) {
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
    std::int32_t q = 0;
    for (; q + kDotQueries <= n_queries; q += kDotQueries)
      dot_block<kDotQueries>(queries + static_cast<std::int64_t>(q) * depth, depth, four, n,
                             out + q * ld + j, ld);
    const float* left = queries + static_cast<std::int64_t>(q) * depth;
    switch (n_queries - q) {
      case 3:
        dot_block<3>(left, depth, four, n, out + q * ld + j, ld);
        break;
      case 2:
        dot_block<2>(left, depth, four, n, out + q * ld + j, ld);
        break;
      case 1:
        dot_block<1>(left, depth, four, n, out + q * ld + j, ld);
        break;
      default:
        break;
    }
  }
}

// Rows that stay in the first cache while all queries and parts of the depth pass over them.
constexpr std::int32_t kAddRows = 64;
constexpr int kAddQueries = kLanes == 16 ? 4 : 2;
constexpr int kAddVectors = 4;

// out (kQueries, ldo) += weights (kQueries, ldw) x rows, over kVectors vectors of the depth.
template <int kQueries, int kVectors, class Row>
inline void add_block(const float* weights, std::int64_t ldw, std::int32_t n_rows, const Row* rows,
                      std::int32_t depth, float* out, std::int64_t ldo) {
  Vf acc[kQueries][kVectors];
#pragma GCC unroll 4
  for (int q = 0; q < kQueries; ++q) {
#pragma GCC unroll 4
    for (int v = 0; v < kVectors; ++v) acc[q][v] = load(out + q * ldo + v * kLanes);
  }
  for (std::int32_t j = 0; j < n_rows; ++j) {
    const Row* row = rows + static_cast<std::int64_t>(j) * depth;
    __builtin_prefetch(row + kRowsAhead * depth);
    if (kVectors * kLanes * sizeof(Row) > 64)
      __builtin_prefetch(row + kRowsAhead * depth + 64 / sizeof(Row));
    Vf x[kVectors];
#pragma GCC unroll 4
    for (int v = 0; v < kVectors; ++v) x[v] = load_row(row + v * kLanes);
#pragma GCC unroll 4
    for (int q = 0; q < kQueries; ++q) {
      const Vf w = splat(weights[q * ldw + j]);
#pragma GCC unroll 4
      for (int v = 0; v < kVectors; ++v) acc[q][v] += w * x[v];
    }
  }
#pragma GCC unroll 4
  for (int q = 0; q < kQueries; ++q) {
#pragma GCC unroll 4
    for (int v = 0; v < kVectors; ++v) store(out + q * ldo + v * kLanes, acc[q][v]);
  }
}

template <int kQueries, class Row>
inline void add_queries(const float* weights, std::int64_t ldw, std::int32_t n_rows,
                        const Row* rows, std::int32_t depth, float* out, std::int64_t ldo) {
  std::int32_t i = 0;
  for (; i + kAddVectors * kLanes <= depth; i += kAddVectors * kLanes)
    add_block<kQueries, kAddVectors>(weights, ldw, n_rows, rows + i, depth, out + i, ldo);
  for (; i + kLanes <= depth; i += kLanes)
    add_block<kQueries, 1>(weights, ldw, n_rows, rows + i, depth, out + i, ldo);
  for (; i < depth; ++i) {
    for (int q = 0; q < kQueries; ++q) {
      for (std::int32_t j = 0; j < n_rows; ++j)
        out[q * ldo + i] +=
            weights[q * ldw + j] * value_of(rows[static_cast<std::int64_t>(j) * depth + i]);
    }
  }
}

template <class Row>
void add_rows(const float* weights, std::int64_t ldw, std::int32_t n_queries, const Row* rows,
              std::int32_t n_rows, std::int32_t depth, float* out, std::int64_t ldo) {
  for (std::int32_t q = 0; q < n_queries; ++q) {
    for (std::int32_t i = 0; i < depth; ++i) out[q * ldo + i] = 0.0f;
  }
  for (std::int32_t j = 0; j < n_rows; j += kAddRows) {
    const std::int32_t n = n_rows - j < kAddRows ? n_rows - j : kAddRows;
    const Row* some = rows + static_cast<std::int64_t>(j) * depth;
    std::int32_t q = 0;
    for (; q + kAddQueries <= n_queries; q += kAddQueries)
      add_queries<kAddQueries>(weights + q * ldw + j, ldw, n, some, depth, out + q * ldo, ldo);
    const float* w = weights + q * ldw + j;
    switch (n_queries - q) {
      case 3:
        add_queries<3>(w, ldw, n, some, depth, out + q * ldo, ldo);
        break;
      case 2:
        add_queries<2>(w, ldw, n, some, depth, out + q * ldo, ldo);
        break;
      case 1:
        add_queries<1>(w, ldw, n, some, depth, out + q * ldo, ldo);
        break;
      default:
        break;
    }
  }
}

}  // namespace
