// The unit of work of attention, and what all of its parts read.
#pragma once

#include <cstdint>
#include <span>

#include "kernels/cpu/attention/attention_rows.h"
#include "kernels/cpu/attention/attention_scratch.h"

namespace tovamill::cpu {

// Consecutive queries of one stream, within one RoPE segment. Their tokens take the slots behind
// those of the state.
struct Tile {
  CpuState* state;
  TileScratch* scratch;
  std::int32_t first_row;  // of the step
  std::int32_t n_queries;
  std::int64_t position;  // of the first query in its stream
  DecisionRule rule;
  bool is_scanned;           // which tokens leave is found by the eviction scan
  bool may_evict;            // tokens may leave
  std::int32_t n_state = 0;  // slots before the tile was appended
  std::int32_t ld = 0;       // padded slots after
  std::int32_t n_slots() const { return n_state + n_queries; }
};

// One layer of a step. Rows of a tile are its queries (n_queries, per_kv) of a KV head.
struct LayerPass {
  const AttentionModel& model;
  const IsaKernels& isa;
  const AttentionRows& rows;
  std::span<ThreadScratch> threads;
  std::int32_t layer;
  const LayerShape& shape;
  float scale;                   // of the scores
  float cap;                     // of q . k before the scale, 0: none
  std::span<const float> sinks;  // (n_heads), or none
  void* out;                     // (n_rows, q_size) in the compute type

  // The sink of a row of a KV head in `room`, for exponentiate; null where the layer has none.
  RowSink* sink_of(std::int32_t kv, std::int32_t row, RowSink& room) const {
    if (sinks.empty()) return nullptr;
    room.score = sinks[static_cast<std::size_t>(kv * model.per_kv + row % model.per_kv)];
    return &room;
  }
  // The same where the eviction scan and the weighted sum find it, by head and query.
  RowSink* kept_sink_of(const Tile& tile, std::int32_t kv, std::int32_t row) const {
    if (sinks.empty()) return nullptr;
    const std::int32_t head = kv * model.per_kv + row % model.per_kv,
                       n_heads = model.heads_per_group;
    RowSink* of_group = tile.scratch->sinks_of(model, head / n_heads);
    return sink_of(kv, row,
                   of_group[std::int64_t{head % n_heads} * tile.n_queries + row / model.per_kv]);
  }

  // (head_dim) of a row.
  const float* query(const Tile& tile, std::int32_t kv, std::int32_t row) const {
    return rows.query(tile.first_row + row / model.per_kv, kv * model.per_kv + row % model.per_kv);
  }
  // out = sums * factor of a row.
  void write_out(const Tile& tile, std::int32_t kv, std::int32_t row, const float* sums,
                 float factor) const {
    const std::int64_t at =
        std::int64_t{tile.first_row + row / model.per_kv} * model.shape.q_size() +
        std::int64_t{kv * model.per_kv + row % model.per_kv} * model.shape.head_dim;
    if (model.type == ComputeType::bf16) {
      isa.scale_bf16(sums, factor, model.shape.head_dim, static_cast<std::uint16_t*>(out) + at);
    } else {
      isa.scale(sums, factor, model.shape.head_dim, static_cast<float*>(out) + at);
    }
  }
  // A row of q . k, `n` of them, as the softmax takes it; whole vectors, so that each is computed
  // alike wherever it stands.
  void cap_scores(float* row, std::int32_t n) const {
    if (cap > 0.0f) isa.cap(row, static_cast<std::int32_t>(pad_slots(n)), cap);
  }
  bool has_window() const { return shape.sliding_window > 0; }
  // Tokens at or below this are outside the layer's sliding window for the query at `position`.
  std::int32_t hidden_below(std::int64_t position) const {
    return static_cast<std::int32_t>(position - shape.sliding_window);
  }
  // Positions of a KV head's slots where the layer's sliding window hides some, else null.
  const std::int32_t* hiding_positions(const Tile& tile, std::int32_t kv) const {
    return has_window() ? tile.state->positions(layer, kv / model.kv_per_group) : nullptr;
  }
  // The decision of an eviction group behind a query of the tile.
  Decision decision_of(const Tile& tile, std::int32_t group, std::int32_t query) const {
    return {static_cast<std::int32_t>(tile.position) + query, model.shape.first_layer + layer,
            group};
  }
  ThreadScratch& scratch(int thread) const { return threads[static_cast<std::size_t>(thread)]; }
};

// The queries [first, end) of a part of a tile: what one task scores or multiplies.
struct PartOfTile {
  PartOfTile(const AttentionModel& model, const Tile& tile, std::int32_t part)
      : first(part * model.part_queries),
        end(std::min(first + model.part_queries, tile.n_queries)) {}
  std::int32_t first, end;
};
inline std::int32_t n_parts(const AttentionModel& model, const Tile& tile) {
  return (tile.n_queries + model.part_queries - 1) / model.part_queries;
}

}  // namespace tovamill::cpu
