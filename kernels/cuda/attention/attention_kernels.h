// The kernels of attention over bounded states, as functions that launch them. They run over a tile
// batch: tiles of different streams side by side, tiles[i] with the i-th part of the scratch.
// Blocks of one token (decoding) have a kernel of their own. All pointers are of device memory.
#pragma once

#include <cstdint>

#include "kernels/cuda/device/runtime.h"
#include "kernels/cuda/state/tile.h"

namespace tovamill::cuda {

// Blocks of a grid along y and z (CUDA C++ Programming Guide, technical specifications).
inline constexpr std::int64_t kMaxGridYz = 65535;

// --- attention_append.cu

// AttentionWeights on the device; null: none. A norm of rows has (q_size) and (kv_size) weights,
// everything else (head_dim).
struct AttentionRowWeights {
  const float *q_norm = nullptr, *k_norm = nullptr, *v_norm = nullptr, *q_factor = nullptr;
  bool operator==(const AttentionRowWeights&) const = default;
};

template <class T>
struct AppendArguments {
  AttentionShape shape;
  StateLayout layout;
  std::int32_t layer;
  const TileInfo* tiles;         // of the step
  std::int32_t first, end;       // those of the batch
  const std::int32_t* row_tile;  // (rows of the step) index of tiles; -1: none
  const float* qkv;              // (rows, q_size + 2 kv_size)
  const float* angles;  // (rows, 2, head_dim / 2) cosines, sines; null where nothing is rotated
  AttentionRowWeights weights;
  T* queries;      // (rows, q_size), ready for the scores
  void* appended;  // TileScratch::appended; not used by tiles of one token
};
// Rotates the rows' queries and puts their keys and values behind the slots of their states.
template <class T>
void append(const AppendArguments<T>& a, std::int32_t n_rows, const Stream& stream);

// angles (n_rows, 2, half) of positions (n_rows) times inv_freq (half).
void fill_angles(const std::int64_t* positions, const double* inv_freq, std::int32_t half,
                 float* angles, std::int32_t n_rows, const Stream& stream);

// --- attention_rotate.cu

struct RotateArguments {
  AttentionShape shape;
  StateLayout layout;
  std::int32_t layer;
  const TileInfo* tiles;
  const double* inv_freq;
};
// The keys of states whose rotation has changed, anew from the unrotated ones
// (kernels/README.md, "Positions").
template <class T>
void rotate_again(const RotateArguments& a, std::int32_t n_tiles, const Stream& stream);

// --- attention_scores.cu

template <class T>
struct ScoreArguments {
  AttentionShape shape;
  StateLayout layout;
  std::int32_t layer;
  const TileInfo* tiles;
  const T* queries;  // (rows, q_size), rotated
  TileScratch scratch;
};
// The shared memory of a block of `score_tiles`, bytes: more than most GPUs have for float32 heads
// above 320.
template <class T>
std::size_t score_shared_bytes(std::int32_t head_dim);
// scores = scale q . k of each query and the slots up to its own.
template <class T>
void score_tiles(const ScoreArguments<T>& a, std::int32_t n_tiles, std::int32_t max_slots,
                 std::int32_t max_queries, const Stream& stream);

// --- attention_eviction_scan.cu

struct EvictionScanArguments {
  AttentionShape shape;
  StateLayout layout;
  std::int32_t layer;
  const TileInfo* tiles;
  TileScratch scratch;
  float* partial;  // (tiles, n_eviction_groups, kScanWarps, ld) where they do not fit shared
                   // memory, or null
};
inline constexpr int kScanWarps = 16;
// Bytes of EvictionScanArguments::partial for `n_tiles` tiles.
std::size_t scan_partial_bytes(const AttentionShape& shape, std::int32_t n_tiles, std::int32_t ld);
// Walks the queries of each tile in order: softmax over the live slots, mean over heads, the
// policy's choice is evicted.
void scan_evictions(const EvictionScanArguments& a, std::int32_t n_tiles, const Stream& stream);

// --- attention_window.cu

// The eviction steps of `window`, which follow from positions alone, and of tiles in which nothing
// leaves.
void plan_evictions(const EvictionScanArguments& a, std::int32_t n_tiles, const Stream& stream);

// --- attention_weighted_sum.cu

template <class T>
struct WeightedSumArguments {
  AttentionShape shape;
  StateLayout layout;
  std::int32_t layer;
  const TileInfo* tiles;
  TileScratch scratch;
  bool has_row_max;    // the eviction scan has found it; else it is found here
  bool keeps_weights;  // of the evicted, into head_weight
  T* out;              // (rows, q_size)
};
// out = softmax(scores of live slots) V.
template <class T>
void weighted_sum_tiles(const WeightedSumArguments<T>& a, std::int32_t n_tiles,
                        std::int32_t max_queries, const Stream& stream);

// --- attention_evict.cu

struct EvictArguments {
  AttentionShape shape;
  StateLayout layout;
  std::int32_t layer;
  const TileInfo* tiles;
  TileScratch scratch;
  bool sums_heads;      // the weights of the evicted stand in head_weight
  EventRecord* events;  // (event rows, n_eviction_groups) of this layer
};
// Records the evictions and lists which survivors move into freed slots.
void evict(const EvictArguments& a, std::int32_t n_tiles, const Stream& stream);
// Moves their keys and values; afterwards the survivors are slots [0, n_held).
template <class T>
void compact(const EvictArguments& a, std::int32_t n_tiles, const Stream& stream);

// --- attention_merge.cu (kernels/README.md, "Merged tokens")

// Of a layer that merges.
template <class T>
struct MergeArguments {
  AttentionShape shape;
  StateLayout layout;
  std::int32_t layer;
  const TileInfo* tiles;
  const T* queries;                      // (rows, q_size), rotated
  const double* inv_freq;                // null where nothing is rotated
  TileScratch scratch;                   // not of tiles of one token
  float* memory;                         // (kMergeBlocks, merge_floats)
  std::int32_t most_merged, most_slots;  // of all layers
};
// Thread blocks of `merge_left`, and the floats that each works in.
inline constexpr std::int32_t kMergeBlocks = 256;
std::size_t merge_floats(const AttentionShape& shape, std::int32_t n_merged,
                         std::int32_t most_slots);
// Empties the places of states that begin, rotates the keys of merged tokens where the others' are.
template <class T>
void begin_merging(const MergeArguments<T>& a, std::int32_t n_tiles, const Stream& stream);
// Adds the biases of merged tokens to their scores.
template <class T>
void add_biases(const MergeArguments<T>& a, std::int32_t n_tiles, const Stream& stream);
// Keeps the rows of the tokens that left, before they are gone, and sums the queries.
template <class T>
void keep_left(const MergeArguments<T>& a, std::int32_t n_tiles, const Stream& stream);
// Merges what left, of tiles that end a merge interval; after `compact`.
template <class T>
void merge_left(const MergeArguments<T>& a, std::int32_t n_tiles, const Stream& stream);

// --- attention_decode.cu

// Blocks of one token.
template <class T>
struct DecodeArguments {
  AttentionShape shape;
  StateLayout layout;
  std::int32_t layer;
  const TileInfo* tiles;
  const T* queries;             // (rows, q_size), rotated
  T* out;                       // (rows, q_size)
  std::int32_t ld;              // slots, padded
  float* weights;               // (tiles, n_heads, ld) exp(score - row_max)
  float* inverse_sum;           // (tiles, n_heads)
  float* mean;                  // (tiles, n_eviction_groups, ld) of the weights, over the heads
  std::int32_t* eviction_step;  // (tiles, n_eviction_groups, ld) 0: evicted, else kLive
  std::int32_t* move_to;        // (tiles, n_eviction_groups, ld)
  unsigned* n_done;             // (tiles, n_eviction_groups) KV heads that are through; 0 between
                                // launches
  std::int32_t max_evictions;   // of a tile
  EventRecord* events;     // (event rows, n_eviction_groups) of this layer; of one eviction a tile
  EventRecord* evictions;  // (tiles, n_eviction_groups, max_evictions), where max_evictions is
                           // above 1; else null
};
// Attention of one query a stream, the decision and the eviction, each key and value read once.
template <class T>
void decode(const DecodeArguments<T>& a, std::int32_t n_tiles, const Stream& stream);

}  // namespace tovamill::cuda
