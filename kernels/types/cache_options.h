// What bounds a multi-state: its size, the policy that decides which token leaves, and how
// positions are rotated.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "kernels/policy/policies.h"

namespace tovamill {

// How a key's rotary position follows from its place in the document (kernels/README.md,
// "Positions").
enum class Positions : std::uint8_t {
  clipped,   // true distances up to the clip distance, the clip distance beyond
  absolute,  // true distances always
  in_state,  // the state's tokens are renumbered by age at each RoPE segment's start
};

// Tokens of a document that share one rotation of the state; a document is cut at its multiples
// (kernels/README.md, "Positions", "Reproducibility").
inline constexpr std::int32_t kRopeSegmentTokens = 256;
// Tokens from one merge of those that left to the next (kernels/README.md, "Merged tokens"). A
// divisor of kRopeSegmentTokens.
inline constexpr std::int32_t kMergeInterval = 64;

struct CacheOptions {
  Policy policy = Policy::tova;
  std::int32_t cache_size = 512;  // tokens a layer keeps at most (k); ignored by `full`
  // Options of some policies (PolicyOption): the first `pin`, or of a window `sinks`, tokens never
  // leave; nor do the newest `recent`, -1 is cache_size / 2; decay L of a moving average, in [0,
  // 1).
  std::int32_t pin = 0;
  std::int32_t sinks = 0;
  std::int32_t recent = -1;
  double ema = 0.95;
  // Of the cache_size places of a layer without a sliding window, so many hold merged tokens, which
  // stand for those that left.
  std::int32_t merge = 0;
  // The cache size of each layer of the whole model where they differ (--budgets); empty: it is
  // cache_size in all.
  std::vector<std::int32_t> layer_sizes = {};
  Positions positions = Positions::clipped;
  std::int32_t clip_distance = 0;  // tokens; 0 is trained context - kRopeSegmentTokens
  std::int32_t chunk_tokens = 0;   // the state restarts every so many tokens; 0 never
};

std::string_view name_of(Policy policy);        // as on the command line: "tova-head"
std::string_view name_of(Positions positions);  // "in-state"
Policy policy_named(std::string_view name);     // throws Error(usage) with the list of names
Positions positions_named(std::string_view name);

// Throws Error(configuration) naming the option, its value and the range it must lie in.
void validate(const CacheOptions& options);

inline bool is_bounded(const CacheOptions& o) { return traits_of(o.policy).is_bounded; }
inline bool needs_scan(Policy p) { return traits_of(p).needs_scan; }
inline bool is_head_wise(Policy p) { return traits_of(p).decided_by == DecidedBy::kv_head; }
// Tokens that the smallest layer keeps at most.
std::int32_t fewest_tokens(const CacheOptions& cache);
// The names of some policies, as in "h2o, h2o-head".
std::string policy_names(bool (*wanted)(const PolicyTraits&));
std::string policies_taking(PolicyOption option);

}  // namespace tovamill
