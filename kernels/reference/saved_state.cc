// A reference state as bytes, behind the common head (kernels/saved_state.h). Of each layer and KV
// head: i64 number of tokens, i64 n_before_segment, then of each token the fields of TokenMemory
// (i64 position, f64 accumulated, i64 n_queries, i64 rank, f64 value_norm), its key and its value
// (head_dim each, f64). Tokens are in order of age.

#include "kernels/saved_state.h"

#include <algorithm>

#include "kernels/reference/backend.h"

namespace tovamill::reference {
namespace {

constexpr std::uint64_t kHeadFields = 2, kTokenFields = 5;  // of eight bytes each

void save_head(const HeadState& head, StateWriter& out) {
  out.number(static_cast<std::int64_t>(head.tokens.size()));
  out.number(head.n_before_segment);
  for (std::size_t j = 0; j < head.tokens.size(); ++j) {
    const TokenMemory& t = head.tokens[j];
    out.number(t.position);
    out.number(t.accumulated);
    out.number(t.n_queries);
    out.number(t.rank);
    out.number(t.value_norm);
    out.bytes(std::as_bytes(std::span(head.keys[j])));
    out.bytes(std::as_bytes(std::span(head.values[j])));
  }
}

// A number that counts tokens of a document of which `n_tokens` are through.
std::int64_t read_count(StateReader& in, std::int64_t n_tokens) {
  const auto n = in.number<std::int64_t>();
  if (n < 0 || n > n_tokens) in.fail("a number is impossible");
  return n;
}

HeadState load_head(StateReader& in, const CacheOptions& cache, const StateCounts& counts,
                    std::int32_t head_dim) {
  HeadState head;
  const std::int64_t n_tokens = counts.n_tokens;
  const auto n = static_cast<std::size_t>(counts.n_held);
  if (read_count(in, n_tokens) != counts.n_held) in.fail("a head's size is wrong");
  head.n_before_segment = read_count(in, n_tokens);
  head.tokens.resize(n);
  const std::vector<double> row(static_cast<std::size_t>(head_dim));
  head.keys.assign(n, row);
  head.values.assign(n, row);
  std::vector<std::int32_t> positions;
  for (std::size_t j = 0; j < n; ++j) {
    TokenMemory& t = head.tokens[j];
    t.position = read_count(in, n_tokens);
    t.accumulated = in.number<double>();
    t.n_queries = read_count(in, n_tokens);
    t.rank = read_count(in, n_tokens);
    t.value_norm = in.number<double>();
    in.bytes(std::as_writable_bytes(std::span(head.keys[j])));
    in.bytes(std::as_writable_bytes(std::span(head.values[j])));
    positions.push_back(static_cast<std::int32_t>(t.position));
  }
  if (!std::is_sorted(positions.begin(), positions.end())) in.fail("tokens are out of order");
  check_positions(cache, counts, std::move(positions));
  return head;
}

}  // namespace

void ReferenceBackend::save(const StreamState& state, std::vector<std::byte>& out) const {
  const auto& s = static_cast<const ReferenceState&>(state);
  StateWriter writer(out);
  const auto n_held = static_cast<std::int64_t>(s.layers.at(0).at(0).tokens.size());
  write_state_head(writer, StateKind::reference, options_.shape, options_.cache,
                   {.n_tokens = s.n_tokens, .n_held = n_held, .pin = s.pin});
  for (const std::vector<HeadState>& layer : s.layers) {
    for (const HeadState& head : layer) save_head(head, writer);
  }
}

std::int64_t ReferenceBackend::load(StreamState& state, std::span<const std::byte> bytes) {
  reset(state);
  const ModelShape& shape = options_.shape;
  StateReader reader(bytes);
  const StateCounts counts = read_state_head(reader, StateKind::reference, shape, options_.cache);
  const auto token_numbers = kTokenFields + 2 * static_cast<std::uint64_t>(shape.head_dim);
  const auto head_numbers = kHeadFields + static_cast<std::uint64_t>(counts.n_held) * token_numbers;
  reader.expect_left(static_cast<std::uint64_t>(shape.n_layers) *
                     static_cast<std::uint64_t>(shape.n_kv_heads) * head_numbers * 8);
  ReferenceState loaded;
  loaded.n_tokens = counts.n_tokens;
  loaded.pin = counts.pin;
  for (std::int32_t l = 0; l < shape.n_layers; ++l) {
    std::vector<HeadState>& layer = loaded.layers.emplace_back();
    for (std::int32_t kv = 0; kv < shape.n_kv_heads; ++kv)
      layer.push_back(load_head(reader, options_.cache, counts, shape.head_dim));
  }
  static_cast<ReferenceState&>(state) = std::move(loaded);
  return counts.n_tokens;
}

}  // namespace tovamill::reference
