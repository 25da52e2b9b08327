// What bounds a multi-state: its size, the policy that decides which token leaves, and how
// positions are rotated.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

namespace tovamill {

// Which token leaves a full state (kernels/README.md, "Policies").
enum class Policy : std::uint8_t {
  tova,  // lowest attention of the newest query, mean over the layer's query heads (Oren et al.
         // 2024, Alg. 1)
  tova_head,  // the same for each KV head on its own
  tova_ema,   // lowest bias-corrected moving average of the attention times the value's norm
  h2o,        // lowest accumulated attention; the newest tokens are protected (Zhang et al. 2023)
  h2o_head,   // the same for each KV head on its own
  window,     // the oldest, sinks aside (Xiao et al. 2024)
  full,       // none
};

// How a key's rotary position follows from its place in the document (kernels/README.md,
// "Positions").
enum class Positions : std::uint8_t {
  clipped,   // true distances up to the clip distance, the clip distance beyond
  absolute,  // true distances always
  in_state,  // the state's tokens are renumbered by age at each group's start
};

// Tokens of a document that share one rotation of the state; a document is cut at its multiples
// (kernels/README.md, "Positions", "Reproducibility").
inline constexpr std::int32_t kRopeSegmentTokens = 256;

struct CacheOptions {
  Policy policy = Policy::tova;
  std::int32_t cache_size = 512;  // tokens a layer keeps at most (k); ignored by `full`
  std::int32_t pin = 0;           // tova, tova-head, tova-ema: the first `pin` tokens never die
  std::int32_t sinks = 0;         // window: the first `sinks` tokens never die
  std::int32_t recent = -1;  // h2o: the newest `recent` tokens are protected; -1 is cache_size / 2
  double ema = 0.95;         // tova-ema: decay L of the moving average, 0 <= L < 1
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

inline bool is_bounded(const CacheOptions& o) { return o.policy != Policy::full; }
// Policies whose decision needs the attention weights.
inline bool needs_scan(Policy p) { return p != Policy::full && p != Policy::window; }
// Policies that decide for each KV head on its own.
inline bool is_head_wise(Policy p) { return p == Policy::tova_head || p == Policy::h2o_head; }

}  // namespace tovamill
