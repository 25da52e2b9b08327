// The vectorised inner loops of the CPU backend, one table of functions per instruction set, chosen
// at run time.
#pragma once

#include <cstdint>

#include "kernels/policy/decision.h"
#include "kernels/types/layer_shape.h"

namespace tovamill::cpu {

// Slots of a tile are padded to multiples of this, whatever the instruction set.
inline constexpr std::int32_t kSlotPad = 16;
// The eviction step of a token that stays.
inline constexpr std::int32_t kLive = 0x7fffffff;

// The eviction scan over one tile of one stream, layer and eviction group (kernels/README.md,
// "Blocks", step 3).
// Slots are first the `n_state` tokens of the state, in any order, then the tile's `n_queries`
// tokens in order; query t sees slots [0, n_state + t]. Steps count the tile's queries.
// The sink of a row: its score, scaled, in; its exponential beside those of the row, out.
struct RowSink {
  float score = 0.0f, term = 0.0f;
};

struct EvictionScan {
  // The first query's row of each head: exp(score - highest of the row), 0 where the query may not
  // see; restored rows are replaced.
  float* const* head_rows = nullptr;  // (n_heads), rows of (ld)
  std::int64_t query_stride = 0;      // floats between the rows of consecutive queries
  std::int32_t ld = 0;                // multiple of kSlotPad, >= n_state + n_queries
  std::int32_t n_heads = 0, n_queries = 0, n_state = 0;
  const std::int32_t* positions = nullptr;  // (ld)
  DecisionRule rule;
  Decision first_decision;  // behind the first query
  // What the policy remembers (MemoryOf), in and out; null where it does not.
  float* memory = nullptr;            // (ld)
  float* decay_power = nullptr;       // (ld)
  const float* value_norm = nullptr;  // (ld)
  float* mean_weight = nullptr;       // (ld) of the newest query, the mean over heads
  const RowSink* sinks = nullptr;     // (n_heads, n_queries), or none
  // Called where a row's live weights are all tiny beside its highest (an evicted token had the
  // largest score): fills the row again relative to the highest score among the live (eviction_step
  // >= query).
  void (*restore)(void* context, std::int32_t head, std::int32_t query) = nullptr;
  void* restore_context = nullptr;
  // Out.
  std::int32_t* eviction_step = nullptr;  // (ld) step behind which the token is gone, kLive; -1
                                          // where there is none
  float* inverse_sum = nullptr;     // (n_heads, n_queries) 1 / sum of the live weights; 0 where not
                                    // worked out
  std::int32_t* evicted = nullptr;  // (n_queries) slot that leaves after the query, -1: none
  float* evicted_weight = nullptr;  // (n_queries) its weight, the mean over heads
};

// One merge of a KV head (kernels/README.md, "Merged tokens"). Rows are `dim` long, a multiple of
// kSlotPad; the points are the merged tokens that there are, then those that left.
struct MergeTask {
  std::int32_t n_points = 0, n_live = 0, n_places = 0, n_heads = 0, dim = 0;
  const float* keys = nullptr;    // (n_points + n_live, dim) rotated: of the points, of the live
  const float* values = nullptr;  // (n_points, dim)
  const double* positions = nullptr;  // (n_points)
  const float* biases = nullptr;      // (n_points) of logits
  // (n_heads, dim) of the queries, times the scale of the scores; of the variance its share, times
  // the square.
  const float *means = nullptr, *variances = nullptr;
  // Places: first centres in and merged keys out, and whether there is one.
  float* place_keys = nullptr;        // (n_places, dim)
  std::int32_t* is_used = nullptr;    // (n_places)
  float* place_values = nullptr;      // (n_places, dim)
  double* place_positions = nullptr;  // (n_places)
  float* place_biases = nullptr;      // (n_places)
  // Scratch.
  float* logs = nullptr;             // (n_points + n_live)
  float* log_sums = nullptr;         // (n_heads)
  float* masses = nullptr;           // (n_points)
  float* place_masses = nullptr;     // (n_places)
  std::int32_t* place_of = nullptr;  // (n_points)
};

struct IsaKernels {
  const char* name;
  int lanes;
  // C[m][n] = sum_k A[m][k] B[k][n] for `n_rows` rows given by pointers. B is (k, ldb), C rows are
  // `ldc` apart; n_cols is a multiple of kSlotPad.
  void (*multiply)(const float* const* a_rows, std::int32_t n_rows, std::int32_t depth,
                   const float* b, std::int64_t ldb, std::int32_t n_cols, float* c,
                   std::int64_t ldc);
  // Turns the scores of a query into exp(scale * (score - highest)) over the first n of `padded`
  // slots, 0 beyond. With `positions`, those at or below `hidden_below` are invisible (0); with
  // `eviction_step`, those that left before the query. Returns the sum. A row without a visible
  // token becomes 0, one with a NaN score NaN. A sink, if there is one,
  // takes part in the sum.
  float (*exponentiate)(float* row, std::int32_t n, std::int32_t padded, float scale,
                        const std::int32_t* positions, std::int32_t hidden_below,
                        const std::int32_t* eviction_step, std::int32_t query, RowSink* sink);
  void (*scan_evictions)(const EvictionScan& scan);
  void (*merge_tokens)(const MergeTask& task);
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
  // out[j] = eviction_step[j] >= query ? row[j] : 0, and returns the sum in the scan's own order. n
  // is a multiple of kSlotPad.
  float (*mask)(const float* row, const std::int32_t* eviction_step, std::int32_t query,
                std::int32_t n, float* out);
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
  // row = cap * tanh(row / cap).
  void (*cap)(float* row, std::int32_t n, float cap);
  // out = x / rms(x) * weight.
  void (*rms_norm)(const float* x, const float* weight, std::int32_t n, float eps, float* out);
  void (*rms_norm_bf16)(const float* x, const float* weight, std::int32_t n, float eps,
                        std::uint16_t* out);
  // out = (x - mean(x)) / sqrt(var(x) + eps) * weight + bias; no bias is null.
  void (*layer_norm)(const float* x, const float* weight, const float* bias, std::int32_t n,
                     float eps, float* out);
  void (*layer_norm_bf16)(const float* x, const float* weight, const float* bias, std::int32_t n,
                          float eps, std::uint16_t* out);
  // By Activation: out = activation(gate) * up; without `up` (null) activation(gate).
  void (*gate[kActivations])(const Xielu& xielu, const float* gate, const float* up, std::int32_t n,
                             float* out);
  void (*gate_bf16[kActivations])(const Xielu& xielu, const float* gate, const float* up,
                                  std::int32_t n, std::uint16_t* out);
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
