#include "kernels/saved_state.h"

#include <algorithm>
#include <bit>
#include <limits>

#include "kernels/backend.h"
#include "kernels/types/error.h"
#include "kernels/types/format.h"

namespace tovamill {
namespace {

static_assert(std::endian::native == std::endian::little,
              "the byte order of states is written for little-endian machines");

constexpr std::uint32_t kMagic = 0x53535654;  // "TVSS"
constexpr std::uint32_t kVersion = 2;

// What differs between the layers of a model, which backends of some of them know of all.
void add_layers(const ModelShape& s, std::vector<std::uint64_t>& words) {
  const LayerShape& first = s.layers.at(0);
  const auto is_as_first = [&](const LayerShape& l) {
    return l.sliding_window == first.sliding_window && l.rope == first.rope &&
           l.attention_scale == first.attention_scale;
  };
  if (std::all_of(s.layers.begin(), s.layers.end(), is_as_first) && first.rope == 0 &&
      first.attention_scale == 0)
    return;
  for (const LayerShape& l : s.layers) {
    words.push_back(static_cast<std::uint32_t>(l.sliding_window));
    words.push_back(static_cast<std::uint32_t>(l.rope));
    words.push_back(std::bit_cast<std::uint64_t>(l.attention_scale));
  }
}

// What models have that computed nothing when the format was made: where it is other than that.
void add_kind(const ModelShape& s, std::vector<std::uint64_t>& words) {
  std::vector<std::uint64_t> kind{static_cast<std::uint64_t>(s.norm),
                                  std::bit_cast<std::uint32_t>(s.embedding_scale),
                                  std::bit_cast<std::uint32_t>(s.logit_cap)};
  const LayerShape plain;
  bool is_plain = s.norm == NormKind::rms && s.embedding_scale == 1.0f && s.logit_cap == 0.0f;
  for (const LayerShape& l : s.layers) {
    kind.push_back(std::bit_cast<std::uint64_t>(l.score_cap));
    for (const bool b : {l.qk_norm == QkNorm::row, l.gated, l.pre_norm, l.post_norm, l.parallel})
      kind.push_back(b ? 1 : 0);
    kind.push_back(static_cast<std::uint64_t>(l.activation));
    is_plain = is_plain && l.score_cap == 0 && l.qk_norm != QkNorm::row && l.gated == plain.gated &&
               l.pre_norm == plain.pre_norm && l.post_norm == plain.post_norm &&
               l.parallel == plain.parallel && l.activation == plain.activation;
  }
  for (const LayerShape& l : s.layers) {
    const ExpertsShape& e = l.experts;
    if (e.n_experts == 0 && !l.has_sinks) continue;
    is_plain = false;
    for (const std::int32_t n : {e.n_experts, e.n_used, e.intermediate_size})
      kind.push_back(static_cast<std::uint64_t>(n));
    for (const bool b : {e.normalized, e.router_bias, e.bias, e.has_shared, l.has_sinks})
      kind.push_back(b ? 1 : 0);
  }
  if (!is_plain) words.insert(words.end(), kind.begin(), kind.end());
}

// The same of what came later.
void add_newer_kind(const ModelShape& s, std::vector<std::uint64_t>& words) {
  std::vector<std::uint64_t> kind;
  bool is_plain = s.per_layer_size == 0 && !s.heads_differ();
  kind.push_back(static_cast<std::uint32_t>(s.per_layer_size));
  for (const LayerShape& l : s.layers) {
    kind.push_back(std::bit_cast<std::uint64_t>(l.query_beta));
    kind.push_back(static_cast<std::uint64_t>(l.query_length));
    const bool is_own = l.kv_source == kOwnKv && !l.v_norm && !l.k_is_v;
    kind.push_back(l.qk_norm == QkNorm::rotated_heads ? 1 : 0);
    for (const std::int32_t n : {l.n_heads, l.n_kv_heads, l.head_dim, l.kv_source})
      kind.push_back(static_cast<std::uint32_t>(n));
    kind.push_back((l.v_norm ? 1 : 0) + (l.k_is_v ? 2 : 0));
    is_plain = is_plain && l.query_beta == 0 && l.qk_norm != QkNorm::rotated_heads && is_own;
  }
  if (!is_plain) words.insert(words.end(), kind.begin(), kind.end());
}

// Everything that decides what the bytes of a state mean and how its stream goes on.
std::vector<std::uint64_t> signature(StateKind kind, const ModelShape& s, const CacheOptions& c) {
  std::vector<std::uint64_t> words{static_cast<std::uint64_t>(kind)};
  for (const std::int32_t n :
       {s.n_layers, s.hidden_size, s.intermediate_size, s.n_heads, s.n_kv_heads, s.head_dim,
        s.vocab_size, s.trained_context, s.layers.at(0).sliding_window,
        static_cast<std::int32_t>(c.policy), c.cache_size, c.pin, c.sinks, protected_recent(c),
        static_cast<std::int32_t>(c.positions), clip_distance(c, s), c.chunk_tokens}) {
    words.push_back(static_cast<std::uint32_t>(n));
  }
  words.push_back(std::bit_cast<std::uint32_t>(s.norm_eps));
  words.push_back(std::bit_cast<std::uint64_t>(c.ema));
  for (const std::vector<double>& rope : s.ropes) {
    for (const double f : rope) words.push_back(std::bit_cast<std::uint64_t>(f));
  }
  add_layers(s, words);
  add_kind(s, words);
  add_newer_kind(s, words);
  if (layers_differ(c)) {
    words.push_back(static_cast<std::uint32_t>(c.merge));
    for (const std::int32_t size : c.layer_sizes) words.push_back(static_cast<std::uint32_t>(size));
  }
  return words;
}

std::uint32_t version_of(const CacheOptions& c) {
  return layers_differ(c) ? kVersionOfDiffering : kVersion;
}

}  // namespace

void StateReader::fail(const std::string& what) {
  throw BadData("a saved state cannot be loaded: " + what +
                ": it is damaged, or of another model, other options or another program version");
}

void StateReader::expect_left(std::uint64_t n_bytes) const {
  if (rest_.size() != n_bytes)
    fail(with_thousands(rest_.size()) + " bytes are left where " + with_thousands(n_bytes) +
         " belong");
}

void write_state_head(StateWriter& out, StateKind kind, const ModelShape& shape,
                      const CacheOptions& cache, const StateCounts& counts) {
  const std::vector<std::uint64_t> words = signature(kind, shape, cache);
  out.number(kMagic);
  out.number(version_of(cache));
  out.number(static_cast<std::uint32_t>(words.size()));
  out.bytes(std::as_bytes(std::span(words)));
  out.number(counts.n_tokens);
  out.number(counts.n_held);
  out.number(counts.pin);
}

StateCounts read_state_head(StateReader& in, StateKind kind, const ModelShape& shape,
                            const CacheOptions& cache) {
  if (in.number<std::uint32_t>() != kMagic) in.fail("it does not begin as one");
  if (in.number<std::uint32_t>() != version_of(cache)) in.fail("its version is unknown");
  const std::vector<std::uint64_t> expected = signature(kind, shape, cache);
  if (in.number<std::uint32_t>() != expected.size()) in.fail("the model's shape differs");
  std::vector<std::uint64_t> found(expected.size());
  in.bytes(std::as_writable_bytes(std::span(found)));
  if (found != expected) in.fail("the model's shape, the cache options or the dtype differ");
  StateCounts counts;
  counts.n_tokens = in.number<std::int64_t>();
  if (counts.n_tokens < 0 || counts.n_tokens > std::numeric_limits<std::int32_t>::max())
    in.fail("its number of tokens is impossible");
  const std::int64_t fewest = is_bounded(cache)
                                  ? std::min<std::int64_t>(counts.n_tokens, cache.cache_size)
                                  : counts.n_tokens;
  counts.n_held = in.number<std::int64_t>();
  if (counts.n_held < fewest || counts.n_held > counts.n_tokens)
    in.fail("its number of held tokens is impossible");
  counts.pin = in.number<std::int32_t>();
  const std::int32_t most = is_bounded(cache) ? cache.cache_size - 1 : 0;
  if (counts.pin < 0 || counts.pin > most) in.fail("its number of pinned tokens is impossible");
  return counts;
}

bool layers_differ(const CacheOptions& cache) {
  return cache.merge > 0 || !cache.layer_sizes.empty();
}

std::int64_t saved_n_held(const CacheOptions& cache, std::int64_t n_tokens, std::int64_t n_held) {
  return layers_differ(cache) ? std::min<std::int64_t>(n_tokens, cache.cache_size) : n_held;
}

void check_layer_count(const CacheOptions& cache, const LayerPlaces& places,
                       const StateCounts& counts, std::int64_t n_held) {
  if (!layers_differ(cache)) {
    if (n_held != counts.n_held) StateReader::fail("a layer's size is wrong");
    return;
  }
  const std::int64_t most = counts.n_tokens,
                     fewest = std::min<std::int64_t>(most, places.size - places.merged);
  if (n_held < fewest || n_held > (places.merged > 0 ? fewest : most))
    StateReader::fail("a layer's size is wrong");
}

void check_positions(const CacheOptions& cache, const LayerPlaces& places,
                     const StateCounts& counts, std::vector<std::int32_t> positions) {
  std::sort(positions.begin(), positions.end());
  if (positions.empty()) return;
  if (positions.front() < 0 || positions.back() >= counts.n_tokens)
    StateReader::fail("a token lies outside the document");
  if (std::adjacent_find(positions.begin(), positions.end()) != positions.end())
    StateReader::fail("a token is there twice");
  const PolicyTraits& policy = traits_of(cache.policy);
  if (!policy.is_bounded || policy.needs_scan || counts.n_held > places.size) return;
  const std::int32_t sinks = places.is_window ? 0 : block_options(cache, counts.pin).sinks;
  const std::int64_t oldest = counts.n_tokens - (places.size - sinks);
  for (const std::int32_t p : positions) {
    if (p >= sinks && p < oldest) StateReader::fail("a token is older than the window");
  }
}

}  // namespace tovamill
