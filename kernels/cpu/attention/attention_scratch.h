// The memory that attention works in beside the states: of each tile in flight, and of each thread.
// It grows with the longest state and never shrinks.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "kernels/cpu/attention/attention_model.h"

namespace tovamill::cpu {

// Scratch of one tile in flight, with room for `room` slots. `ld`: padded slots of the tile.
struct TileScratch {
  std::int64_t room = 0;
  AlignedBytes keys;     // (n_kv_heads, head_dim, ld) float32, transposed
  AlignedBytes values;   // (n_kv_heads, n_slots, padded_dim) float32
  AlignedBytes weights;  // (n_kv_heads, n_queries * per_kv, ld) float32; of blocks of one token
                         // (n_heads, ld)
  AlignedBytes eviction_steps;  // (n_groups, room) int32, kLive: never in this tile
  AlignedBytes mean_weights;    // (n_groups, room) float32
  std::vector<RowSink> sinks;   // (n_groups, heads_per_group, n_queries), where layers have any
  AlignedBytes inverse_sums;    // (n_groups, heads_per_group, n_queries) float32
  std::vector<std::int32_t> evicted;  // (n_groups, tile_queries) slot that leaves; -1: none
  std::vector<float> evicted_weight;  // (n_groups, tile_queries)
  std::vector<std::int32_t> move_from, move_to;  // (n_groups, tile_queries) slots
  std::vector<std::int32_t> n_moves;             // (n_groups)
  std::vector<double> head_weight;  // (n_kv_heads, tile_queries) weights of the evicted, summed
                                    // over query heads, where nothing is scanned
  std::vector<float*> head_rows;    // (n_heads) of weights: each head's first row

  float* keys_of(const AttentionModel& m, std::int32_t kv) const {
    return floats(keys) + std::int64_t{kv} * m.shape.head_dim * room;
  }
  float* values_of(const AttentionModel& m, std::int32_t kv) const {
    return floats(values) + std::int64_t{kv} * m.padded_dim * room;
  }
  float* weight_rows(const AttentionModel& m, std::int32_t kv, std::int32_t ld) const {
    return floats(weights) + std::int64_t{kv} * m.tile_queries * m.per_kv * ld;
  }
  // The same of a block of one token.
  float* head_weights(std::int32_t head, std::int32_t ld) const {
    return floats(weights) + std::int64_t{head} * ld;
  }
  std::int32_t* eviction_steps_of(std::int32_t group) const {
    return reinterpret_cast<std::int32_t*>(eviction_steps.data()) + group * room;
  }
  float* mean_weights_of(std::int32_t group) const { return floats(mean_weights) + group * room; }
  // Of a row of a KV head's weights; its first head is in the group's `head_in_group`.
  RowSink* sinks_of(const AttentionModel& m, std::int32_t group) {
    return sinks.data() + std::int64_t{group} * m.tile_queries * m.heads_per_group;
  }
  float* inverse_sums_of(const AttentionModel& m, std::int32_t group) const {
    return floats(inverse_sums) + std::int64_t{group} * m.tile_queries * m.heads_per_group;
  }

 private:
  static float* floats(const AlignedBytes& bytes) { return reinterpret_cast<float*>(bytes.data()); }
};

// Of a merge of one KV head, where layers merge (MergeTask); P = n_merged + kMergeInterval points.
struct MergeScratch {
  AlignedBytes keys;     // (P + room, padded_dim) float32
  AlignedBytes values;   // (P, padded_dim) float32
  AlignedBytes places;   // (2, n_merged, padded_dim) float32: keys, values
  AlignedBytes moments;  // (2, per_kv, padded_dim) float32: means, variances of queries
  std::vector<double> positions, place_positions;     // (P), (n_merged)
  std::vector<float> biases, masses, logs, log_sums;  // (P), (P), (P + room), (per_kv)
  std::vector<float> place_biases, place_masses;      // (n_merged)
  std::vector<std::int32_t> is_used, place_of;        // (n_merged), (P)
};

struct ThreadScratch {
  AlignedBytes panel;                     // (rows, ld) float32: weights on their way to the values
  AlignedBytes rows;                      // (rows, padded_dim) float32: what a GEMM gives
  std::vector<float> angles;              // (2, head_dim / 2) of one position
  std::vector<std::int32_t> order, rank;  // (room) slots by age, age of each slot
  std::vector<float> inverse_sum;         // (n_heads) of one token
  std::vector<Candidate> candidates;      // (room) to leave after one token
  MergeScratch merge;

  float* panel_rows() const { return reinterpret_cast<float*>(panel.data()); }
  float* row_sums() const { return reinterpret_cast<float*>(rows.data()); }
};

class AttentionScratch {
 public:
  AttentionScratch(std::span<const AttentionModel> models, int n_threads);

  // As many tiles may be in flight as there are threads.
  std::vector<TileScratch>& tiles() { return tiles_; }
  std::vector<ThreadScratch>& threads() { return threads_; }

  // Room for states of `n_slots`; with `keeps_all` also for blocks in which nothing leaves. Throws
  // OutOfMemory; the next call tries again.
  void make_room(std::int64_t n_slots, bool keeps_all);
  std::uint64_t bytes() const { return bytes_of(room_, keeps_all_); }
  // What it will have grown to.
  std::uint64_t bytes_for(std::int64_t n_slots, bool keeps_all) const;

 private:
  // Bytes of one tile: keys to inverse_sums; of one thread: panel, rows, lists, merge.
  struct Bytes {
    std::size_t keys, values, weights, eviction_steps, mean_weights, inverse_sums;
    std::size_t panel, rows, lists, merge;
  };
  Bytes each(std::int64_t n_slots, bool keeps_all) const;  // the most of any layer
  static Bytes each_of(const AttentionModel& model, std::int64_t n_slots, bool keeps_all);
  std::uint64_t bytes_of(std::int64_t n_slots, bool keeps_all) const;
  static std::size_t merge_rows(const AttentionModel& model, std::size_t n_slots);
  void make_room_to_merge(MergeScratch& scratch, std::int64_t n_slots) const;

  std::span<const AttentionModel> models_;
  // The most of any layer.
  std::int32_t n_heads_ = 0, n_kv_heads_ = 0, head_dim_ = 0, padded_dim_ = 0, per_kv_ = 0;
  std::int64_t room_ = 0;   // slots
  bool keeps_all_ = false;  // whether there is room for blocks in which nothing leaves
  std::vector<TileScratch> tiles_;
  std::vector<ThreadScratch> threads_;
};

}  // namespace tovamill::cpu
