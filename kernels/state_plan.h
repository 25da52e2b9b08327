// What the backends plan alike of a state: how many tokens it has room for, by which rule tokens
// leave it, what its keys' rotary positions are relative to. Formulas of the mathematics in
// kernels/README.md, without any backend's memory.
#pragma once

#include <cstdint>

#include "kernels/policy/decision.h"
#include "kernels/types/cache_options.h"
#include "kernels/types/model_shape.h"

namespace tovamill {

struct StepBlock;  // backend.h

// --- eviction

// Decisions per layer and step: the KV heads of head-wise policies, else 1. Throws
// Error(configuration) where layers differ in their KV heads and the policy goes by these.
std::int32_t n_eviction_groups(const CacheOptions& cache, const ModelShape& shape);
// Newest tokens that h2o protects.
std::int32_t protected_recent(const CacheOptions& cache);
// The cache options as they hold for a block with StepBlock::pin: `pin` and, under `window`,
// `sinks` are the tokens that never leave, `recent` what h2o protects beside them.
CacheOptions block_options(const CacheOptions& cache, std::int32_t pin);
// The options with the cache size of each layer: none keeps more tokens than its sliding window,
// which are all that it can still see. In-state positions number the tokens of all layers alike and
// leave it as it is.
CacheOptions fitted_to_windows(const CacheOptions& cache, const ModelShape& shape);
// What layer `layer` of a model's n_layers keeps at most: places of tokens and, of them, those of
// merged tokens. `is_window`: its sliding window, whatever the policy; the oldest leaves.
struct LayerPlaces {
  std::int32_t size = 0, merged = 0;
  bool is_window = false;
};
LayerPlaces places_of(const CacheOptions& cache, const ModelShape& shape, std::int32_t layer);
// The policy as it holds for a block in a layer of these places.
DecisionRule decision_rule(const CacheOptions& cache, const StepBlock& block,
                           const LayerPlaces& places);
// Throws Error(internal) unless a block may follow on a layer whose groups hold `n_held` places.
void check_block(const CacheOptions& cache, const StepBlock& block, const LayerPlaces& places,
                 std::int64_t n_held);

// --- room

// Tokens that a state has room for which has taken `n_tokens`: `bounded` of a bounded policy,
// unless the blocks keep all (StepBlock::keeps_all); else it grows with them.
std::int64_t state_capacity(const CacheOptions& cache, std::int64_t bounded, std::int64_t n_tokens,
                            bool keeps_all);

// --- rotary positions

// What the cache options come to for a model: trained context - kRopeSegmentTokens unless given, at
// least 1.
std::int32_t clip_distance(const CacheOptions& cache, const ModelShape& shape);
// Whether keys of a state are ever rotated anew, `clip` being the clip distance: not where
// positions are absolute, nor where a chunk ends before that begins.
bool rotates_again(const CacheOptions& cache, std::int64_t clip);
// What the rotated keys of a state are relative to while the query at `position` is at work, the
// same within a RoPE segment: a shift of clipped positions, or the segment's first position for
// in-state ones. Where it changes, the keys are rotated anew.
std::int64_t wanted_rotation(const CacheOptions& cache, std::int64_t clip, std::int64_t position);
// The rotary position of a token of the current segment. Only distances matter, so clipped
// positions count from where the clipping begins: they stay within the trained context however long
// the document is. `n_before`: in-state positions: tokens held when the segment began.
std::int64_t rotary_position(const CacheOptions& cache, std::int64_t clip, std::int64_t position,
                             std::int64_t n_before);

}  // namespace tovamill
