// The vectorised inner loops of the CPU backend, one table of functions per instruction set, chosen
// at run time.
#pragma once

#include <cstdint>

#include "kernels/policy/decision.h"

namespace tovamill::cpu {

// Columns of score rows are padded to multiples of this, whatever the instruction set.
inline constexpr std::int32_t kColumnPad = 16;
// A token's death while it lives.
inline constexpr std::int32_t kAlive = 0x7fffffff;

// The scan (kernels/README.md, "Blocks", step 3) over one tile of one stream, layer and deciding
// group. Columns are first the `n_state` tokens of the state, in any order, then the tile's
// `n_steps` tokens in order; query t sees columns [0, n_state + t].
struct ScanTile {
  // Of each head the first step's row: exp(score - highest of the row), 0 where the query may not
  // see; restored rows are replaced.
  float* const* weights = nullptr;  // (n_heads)
  std::int64_t step_stride = 0;     // elements between the rows of consecutive steps
  std::int32_t ld = 0;              // multiple of kColumnPad, >= n_state + n_steps
  std::int32_t n_heads = 0, n_steps = 0, n_state = 0;
  std::int32_t first_position = 0;          // of the tile's first token
  const std::int32_t* positions = nullptr;  // (ld) of every column
  DecisionRule rule;
  std::int32_t layer = 0, group = 0;  // that decide
  float* memory = nullptr;       // (ld) accumulated weight or moving average, by column; in and out
  float* decay_power = nullptr;  // (ld) L^n of the n queries seen; in and out (moving_average)
  const float* value_norm = nullptr;  // (ld) (moving_average)
  float* mean_weight = nullptr;       // (ld) scratch: of the newest query
  // Called where a row's living weights are all tiny beside its highest (a dead token had the
  // largest score): fills the row again relative to the highest score among the living (death >=
  // step).
  void (*restore)(void* context, std::int32_t head, std::int32_t step) = nullptr;
  void* restore_context = nullptr;
  // Out.
  std::int32_t* death =
      nullptr;  // (ld) step of the tile after which the column is gone, kAlive, -1 not born
  float* inverse_sum =
      nullptr;  // (n_heads, n_steps) 1 / sum of the living weights; 0 where not computed
  std::int32_t* evicted = nullptr;  // (n_steps) column that left after the step, -1 none
  float* evicted_weight = nullptr;  // (n_steps) its weight, mean over the heads
};

struct IsaKernels {
  const char* name;
  int lanes;
  // C[m][n] = sum_k A[m][k] B[k][n] for `n_rows` rows given by pointers. B is (k, ldb), C rows are
  // `ldc` apart; n_cols is a multiple of kColumnPad.
  void (*multiply)(const float* const* a_rows, std::int32_t n_rows, std::int32_t depth,
                   const float* b, std::int64_t ldb, std::int32_t n_cols, float* c,
                   std::int64_t ldc);
  // Turns scores into exp(scale * (score - highest)) over the first n of `padded` columns, 0
  // beyond. With `positions`, columns at or below `hidden_below` are invisible (0). With `death`,
  // columns with death < step count as invisible. Returns the sum. A row without a visible column
  // becomes 0, one with a NaN score NaN.
  float (*exponentiate)(float* row, std::int32_t n, std::int32_t padded, float scale,
                        const std::int32_t* positions, std::int32_t hidden_below,
                        const std::int32_t* death, std::int32_t step);
  void (*scan)(const ScanTile& tile);
  // Scores of queries (n_queries, depth) against rows as a state stores them (n_rows, depth):
  // out[q * ld + j] = queries[q] . rows[j]. Equal rows get equal scores wherever they stand.
  void (*dot_rows_f32)(const float* queries, std::int32_t n_queries, std::int32_t depth,
                       const float* rows, std::int32_t n_rows, float* out, std::int64_t ld);
  void (*dot_rows_bf16)(const float* queries, std::int32_t n_queries, std::int32_t depth,
                        const std::uint16_t* rows, std::int32_t n_rows, float* out,
                        std::int64_t ld);
  // Weighted sums of such rows: out[q * ldo + i] = sum_j weights[q * ldw + j] rows[j][i], in order
  // of j.
  void (*add_rows_f32)(const float* weights, std::int64_t ldw, std::int32_t n_queries,
                       const float* rows, std::int32_t n_rows, std::int32_t depth, float* out,
                       std::int64_t ldo);
  void (*add_rows_bf16)(const float* weights, std::int64_t ldw, std::int32_t n_queries,
                        const std::uint16_t* rows, std::int32_t n_rows, std::int32_t depth,
                        float* out, std::int64_t ldo);
  // out[j] = death[j] >= step ? row[j] : 0, and returns the sum in the scan's own order. n is a
  // multiple of kColumnPad.
  float (*mask)(const float* row, const std::int32_t* death, std::int32_t step, std::int32_t n,
                float* out);
  // out (depth, ld) = transposed rows (n_cols, depth); columns [n_cols, padded) are 0.
  void (*transpose_f32)(const float* rows, std::int32_t n_cols, std::int32_t padded,
                        std::int32_t depth, float* out, std::int64_t ld);
  void (*transpose_bf16)(const std::uint16_t* rows, std::int32_t n_cols, std::int32_t padded,
                         std::int32_t depth, float* out, std::int64_t ld);
  void (*to_bf16)(const float* in, std::int64_t n, std::uint16_t* out);
  void (*from_bf16)(const std::uint16_t* in, std::int64_t n, float* out);
  // out = x * factor.
  void (*scale)(const float* x, float factor, std::int32_t n, float* out);
  void (*scale_bf16)(const float* x, float factor, std::int32_t n, std::uint16_t* out);
  // out = x / rms(x) * weight.
  void (*rms_norm)(const float* x, const float* weight, std::int32_t n, float eps, float* out);
  void (*rms_norm_bf16)(const float* x, const float* weight, std::int32_t n, float eps,
                        std::uint16_t* out);
  // out = silu(gate) * up.
  void (*gate)(const float* gate, const float* up, std::int32_t n, float* out);
  void (*gate_bf16)(const float* gate, const float* up, std::int32_t n, std::uint16_t* out);
  // Turns pairs (i, i + half) of one head by the angles' cosines and sines (half each).
  void (*rotate)(const float* in, const float* cosines, const float* sines, std::int32_t half,
                 float* out);
  // *highest = max(x), returns sum exp(x - max), NaN if any element is.
  float (*sum_exp)(const float* x, std::int32_t n, float* highest);
  float (*norm2)(const float* x, std::int32_t n);  // L2 norm
};

const IsaKernels& generic_kernels();
// nullptr where this build or this CPU has none.
const IsaKernels* avx2_kernels();
const IsaKernels* avx512_kernels();
// The widest that the CPU supports; TOVAMILL names: "generic", "avx2", "avx512" restrict it
// (tests).
const IsaKernels& best_kernels();
const IsaKernels* kernels_named(const char* name);

}  // namespace tovamill::cpu
