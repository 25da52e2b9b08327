#include "kernels/saved_state.h"

#include <algorithm>
#include <bit>
#include <limits>

#include "kernels/backend.h"
#include "kernels/error.h"

namespace tovamill {
namespace {

static_assert(std::endian::native == std::endian::little,
              "the byte order of states is written for little-endian machines");

constexpr std::uint32_t kMagic = 0x53535654;  // "TVSS"
constexpr std::uint32_t kVersion = 1;

// Everything that decides what the bytes of a state mean and how its stream goes on.
std::vector<std::uint64_t> signature(StateKind kind, const ModelShape& s, const CacheOptions& c) {
  std::vector<std::uint64_t> words{static_cast<std::uint64_t>(kind)};
  for (const std::int32_t n :
       {s.n_layers, s.hidden_size, s.intermediate_size, s.n_heads, s.n_kv_heads, s.head_dim,
        s.vocab_size, s.trained_context, s.sliding_window, static_cast<std::int32_t>(c.policy),
        c.cache_size, c.pin, c.sinks, protected_recent(c), static_cast<std::int32_t>(c.positions),
        clip_distance(c, s), c.chunk_tokens}) {
    words.push_back(static_cast<std::uint32_t>(n));
  }
  words.push_back(std::bit_cast<std::uint32_t>(s.rms_norm_eps));
  words.push_back(std::bit_cast<std::uint64_t>(c.ema));
  for (const double f : s.inv_freq) words.push_back(std::bit_cast<std::uint64_t>(f));
  return words;
}

}  // namespace

void StateReader::fail(const std::string& what) {
  throw BadData("a saved state cannot be loaded: " + what +
                ": it is damaged, or of another model, other options or another program version");
}

void StateReader::expect_left(std::uint64_t n_bytes) const {
  if (rest_.size() != n_bytes)
    fail(std::to_string(rest_.size()) + " bytes are left where " + std::to_string(n_bytes) +
         " belong");
}

void write_state_head(StateWriter& out, StateKind kind, const ModelShape& shape,
                      const CacheOptions& cache, std::int64_t n_tokens) {
  const std::vector<std::uint64_t> words = signature(kind, shape, cache);
  out.number(kMagic);
  out.number(kVersion);
  out.number(static_cast<std::uint32_t>(words.size()));
  out.bytes(std::as_bytes(std::span(words)));
  out.number(n_tokens);
}

std::int64_t read_state_head(StateReader& in, StateKind kind, const ModelShape& shape,
                             const CacheOptions& cache) {
  if (in.number<std::uint32_t>() != kMagic) in.fail("it does not begin as one");
  if (in.number<std::uint32_t>() != kVersion) in.fail("its version is unknown");
  const std::vector<std::uint64_t> expected = signature(kind, shape, cache);
  if (in.number<std::uint32_t>() != expected.size()) in.fail("the model's shape differs");
  std::vector<std::uint64_t> found(expected.size());
  in.bytes(std::as_writable_bytes(std::span(found)));
  if (found != expected) in.fail("the model's shape, the cache options or the dtype differ");
  const auto n_tokens = in.number<std::int64_t>();
  if (n_tokens < 0 || n_tokens > std::numeric_limits<std::int32_t>::max())
    in.fail("its number of tokens is impossible");
  return n_tokens;
}

std::int64_t n_held(const CacheOptions& cache, std::int64_t n_tokens) {
  return is_bounded(cache) ? std::min<std::int64_t>(n_tokens, cache.cache_size) : n_tokens;
}

void check_positions(const CacheOptions& cache, std::int64_t n_tokens,
                     std::vector<std::int32_t> positions) {
  std::sort(positions.begin(), positions.end());
  if (positions.empty()) return;
  if (positions.front() < 0 || positions.back() >= n_tokens)
    StateReader::fail("a token lies outside the document");
  if (std::adjacent_find(positions.begin(), positions.end()) != positions.end())
    StateReader::fail("a token is there twice");
  if (cache.policy != Policy::window) return;
  const std::int64_t oldest = n_tokens - (cache.cache_size - cache.sinks);
  for (const std::int32_t p : positions) {
    if (p >= cache.sinks && p < oldest) StateReader::fail("a token is older than the window");
  }
}

}  // namespace tovamill
