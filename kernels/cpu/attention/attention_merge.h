// Merged tokens on the CPU (kernels/README.md, "Merged tokens"): what leaves a layer that merges is
// kept until its merge interval ends, and then taken into the places of merged tokens, which are
// the first slots of the state.
#pragma once

#include <cstdint>

#include "kernels/cpu/attention/tile.h"

namespace tovamill::cpu {

// Whether a merge follows on the tile.
inline bool ends_interval(const Tile& tile) {
  return (tile.position + tile.n_queries) % kMergeInterval == 0;
}

// Adds the biases of merged tokens to the scores of a query of the KV head.
void add_score_biases(const LayerPass& pass, const Tile& tile, std::int32_t kv, float* scores);
// Rotates the keys of a KV head's merged tokens from what they are relative to on to `shift`.
// `row`: scratch (padded_dim).
void rotate_merged(const LayerPass& pass, const Tile& tile, std::int32_t kv, std::int64_t shift,
                   float* row);

// Takes the tile's queries of a KV head into the sums.
void add_queries(const LayerPass& pass, const Tile& tile, std::int32_t kv);
// The same, and keeps the rows of those that left after the tile's scan; before they are gone.
void keep_left(const LayerPass& pass, const Tile& tile, std::int32_t kv);
// Counts them; once for all KV heads, after `keep_left`.
void count_left(const LayerPass& pass, const Tile& tile);
// Of one token: keeps and counts it in all KV heads.
void keep_left_slot(const LayerPass& pass, const Tile& tile, std::int32_t slot);

// The merge of a KV head; then, once for all of them, the interval begins anew.
void merge_left(const LayerPass& pass, const Tile& tile, std::int32_t kv, int thread);
void forget_left(const LayerPass& pass, const Tile& tile);

}  // namespace tovamill::cpu
