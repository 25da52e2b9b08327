// The kernels of attention, as functions that launch them. A wave is up to as many tiles as there
// are slots of scratch; slot i belongs to tiles[i]. All pointers are of device memory.
#pragma once

#include <cstdint>

#include "kernels/cuda/device/runtime.h"
#include "kernels/cuda/state/tile.h"

namespace tovamill::cuda {

// --- attention_state.cu

template <class T>
struct JoinArguments {
  AttentionShape shape;
  StateLayout layout;
  std::int32_t layer;
  const TileInfo* tiles;         // of the step
  std::int32_t first, end;       // of them the wave's
  const std::int32_t* row_tile;  // (rows of the step) index of tiles; -1: none
  const float* qkv;              // (rows, q_size + 2 kv_size)
  const float* angles;           // (rows, 2, head_dim / 2) cosines, sines
  const float *q_norm, *k_norm;  // (head_dim), or null
  T* queries;                    // (rows, q_size), rotated
  void* joining;                 // WaveScratch::joining; not used by tiles of one token
};
// Rotates the rows' queries and puts their keys and values behind the columns of their states.
template <class T>
void join(const JoinArguments<T>& a, std::int32_t n_rows, const Stream& stream);

// angles (n_rows, 2, half) of positions (n_rows) times inv_freq (half).
void fill_angles(const std::int64_t* positions, const double* inv_freq, std::int32_t half,
                 float* angles, std::int32_t n_rows, const Stream& stream);

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

struct LeaveArguments {
  AttentionShape shape;
  StateLayout layout;
  std::int32_t layer;
  const TileInfo* tiles;
  WaveScratch scratch;
  bool sums_heads;      // the weights of what left stand in head_weight
  EventRecord* events;  // (event rows, n_eviction_groups) of this layer
};
void leave(const LeaveArguments& a, std::int32_t n_tiles, const Stream& stream);
template <class T>
void compact(const LeaveArguments& a, std::int32_t n_tiles, const Stream& stream);

// --- attention_scores.cu

template <class T>
struct ScoreArguments {
  AttentionShape shape;
  StateLayout layout;
  std::int32_t layer;
  const TileInfo* tiles;
  const T* queries;
  WaveScratch scratch;
};
// scores = q . k / sqrt(head_dim) of each query and the columns up to its own.
template <class T>
void score_tiles(const ScoreArguments<T>& a, std::int32_t n_tiles, std::int32_t max_columns,
                 std::int32_t max_steps, const Stream& stream);

// --- attention_weigh.cu

template <class T>
struct WeighArguments {
  AttentionShape shape;
  StateLayout layout;
  std::int32_t layer;
  const TileInfo* tiles;
  WaveScratch scratch;
  bool has_sums;       // row_max and row_scale are known; else they are found here
  bool keeps_weights;  // of the evicted, into head_weight
  T* out;              // (rows, q_size)
};
// out = softmax over the living times their values.
template <class T>
void weigh_tiles(const WeighArguments<T>& a, std::int32_t n_tiles, std::int32_t max_steps,
                 const Stream& stream);

// --- attention_scan.cu

struct ScanArguments {
  AttentionShape shape;
  StateLayout layout;
  std::int32_t layer;
  const TileInfo* tiles;
  WaveScratch scratch;
  float* partial;  // (slots, n_eviction_groups, kScanWarps, ld) where they do not fit shared
                   // memory, or null
};
inline constexpr int kScanWarps = 16;
// Bytes of ScanArguments::partial for `n_tiles` tiles.
std::size_t scan_partial_bytes(const AttentionShape& shape, std::int32_t n_tiles, std::int32_t ld);
// Walks the queries of each tile in order: softmax over the living, mean over heads, the policy's
// choice dies.
void scan_tiles(const ScanArguments& a, std::int32_t n_tiles, const Stream& stream);

// --- attention_decode.cu

// Blocks of one token: slot i belongs to tiles[i].
template <class T>
struct DecodeArguments {
  AttentionShape shape;
  StateLayout layout;
  std::int32_t layer;
  const TileInfo* tiles;
  const T* queries;
  T* out;  // (rows, q_size)
  std::int32_t ld;
  float* weights;       // (slots, n_heads, ld)
  float* inverse_sum;   // (slots, n_heads)
  float* mean;          // (slots, n_eviction_groups, ld) of the weights, over the heads of a group
  std::int32_t* death;  // (slots, n_eviction_groups, ld)
  std::int32_t* move_to;  // (slots, n_eviction_groups, ld)
  unsigned* n_done;  // (slots, n_eviction_groups) KV heads of a group that are through; 0 between
                     // launches
  std::int32_t max_drops;  // of a tile
  EventRecord* events;     // (event rows, n_eviction_groups) of this layer; of one drop a tile
  EventRecord*
      drops;  // (slots, n_eviction_groups, max_drops), where max_drops is above 1; else null
};
// Attention of one query a stream, the decision and the departure, each key and value read once.
template <class T>
void decode(const DecodeArguments<T>& a, std::int32_t n_tiles, const Stream& stream);

// --- attention_window.cu

// Deaths of `window`, which follow from positions alone, and of tiles in which nothing leaves.
void plan_deaths(const ScanArguments& a, std::int32_t n_tiles, const Stream& stream);

}  // namespace tovamill::cuda
