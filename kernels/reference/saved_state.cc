// A reference state as bytes, behind the common head (kernels/saved_state.h). Of each layer, behind
// its bytes where layers differ, and KV head: i64 number of tokens, i64 n_before_segment, then of
// each token the fields of TokenMemory (i64 position, f64 accumulated, i64 n_queries, i64 rank, f64
// value_norm), its key and its value (head_dim each, f64). Tokens are in order of age. Where the
// layer merges, then: of each place i64 whether it is used, f64 position, rotary, bias, key and
// value; i64 number of tokens that left, of each f64 position, key and value; i64 queries that are
// summed, of each query head their sum and that of their squares (head_dim each).

#include "kernels/saved_state.h"

#include <algorithm>

#include "kernels/reference/backend.h"

namespace tovamill::reference {
namespace {

void save_row(const std::vector<double>& row, std::int32_t n, StateWriter& out) {
  std::vector<double> whole = row;
  whole.resize(static_cast<std::size_t>(n), 0.0);
  out.bytes(std::as_bytes(std::span(whole)));
}

void save_merging(const MergeState& merging, std::int32_t head_dim, StateWriter& out) {
  if (merging.places.empty()) return;
  for (const MergedToken& m : merging.places) {
    out.number(static_cast<std::int64_t>(m.is_used));
    out.number(m.position);
    out.number(m.rotary);
    out.number(m.bias);
    save_row(m.key, head_dim, out);
    save_row(m.value, head_dim, out);
  }
  out.number(static_cast<std::int64_t>(merging.left.size()));
  for (const LeftToken& t : merging.left) {
    out.number(t.position);
    save_row(t.key, head_dim, out);
    save_row(t.value, head_dim, out);
  }
  out.number(merging.n_queries);
  for (const QuerySums& sums : merging.queries) {
    save_row(sums.first, head_dim, out);
    save_row(sums.second, head_dim, out);
  }
}

std::vector<double> read_row(StateReader& in, std::int32_t n) {
  std::vector<double> row(static_cast<std::size_t>(n));
  in.bytes(std::as_writable_bytes(std::span(row)));
  return row;
}

void load_merging(StateReader& in, std::int32_t head_dim, MergeState& merging) {
  if (merging.places.empty()) return;
  for (MergedToken& m : merging.places) {
    m.is_used = in.number<std::int64_t>() != 0;
    m.position = in.number<double>();
    m.rotary = in.number<double>();
    m.bias = in.number<double>();
    m.key = read_row(in, head_dim);
    m.value = read_row(in, head_dim);
  }
  const auto n_left = in.number<std::int64_t>();
  if (n_left < 0 || n_left > kMergeInterval)
    in.fail("the number of tokens that left is impossible");
  for (std::int64_t i = 0; i < n_left; ++i) {
    LeftToken t{.position = in.number<double>()};
    t.key = read_row(in, head_dim);
    t.value = read_row(in, head_dim);
    merging.left.push_back(std::move(t));
  }
  merging.n_queries = in.number<std::int64_t>();
  for (QuerySums& sums : merging.queries) {
    sums.first = read_row(in, head_dim);
    sums.second = read_row(in, head_dim);
  }
}

void save_head(const HeadState& head, std::int32_t head_dim, StateWriter& out) {
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
  save_merging(head.merging, head_dim, out);
}

constexpr std::uint64_t kTokenFields = 5;  // of eight bytes each

// A number that counts tokens of a document of which `n_tokens` are through.
std::int64_t read_count(StateReader& in, std::int64_t n_tokens) {
  const auto n = in.number<std::int64_t>();
  if (n < 0 || n > n_tokens) in.fail("a number is impossible");
  return n;
}

// `head`: as it begins.
void load_head(StateReader& in, const CacheOptions& cache, const LayerPlaces& places,
               const StateCounts& counts, std::int32_t head_dim, HeadState& head) {
  const std::int64_t n_tokens = counts.n_tokens;
  const std::int64_t n_held = read_count(in, n_tokens);
  const auto n = static_cast<std::size_t>(n_held);
  check_layer_count(cache, places, counts, n_held);
  in.expect_at_least(n * (kTokenFields + 2 * static_cast<std::uint64_t>(head_dim)) * 8);
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
  check_positions(cache, places, counts, std::move(positions));
  load_merging(in, head_dim, head.merging);
}

}  // namespace

void ReferenceBackend::save(const StreamState& state, std::vector<std::byte>& out) const {
  const auto& s = static_cast<const ReferenceState&>(state);
  StateWriter writer(out);
  const auto n_held = saved_n_held(options_.cache, s.n_tokens,
                                   static_cast<std::int64_t>(s.layers.at(0).at(0).tokens.size()));
  write_state_head(writer, StateKind::reference, options_.shape, options_.cache,
                   {.n_tokens = s.n_tokens, .n_held = n_held, .pin = s.pin});
  for (std::int32_t l = 0; l < options_.shape.n_layers; ++l) {
    const std::vector<HeadState>& layer = s.layers[static_cast<std::size_t>(l)];
    write_layer(out, options_.cache, [&](StateWriter& to) {
      for (const HeadState& head : layer) save_head(head, options_.shape.heads(l).head_dim, to);
    });
  }
}

std::int64_t ReferenceBackend::load(StreamState& state, std::span<const std::byte> bytes) {
  reset(state);
  const ModelShape& shape = options_.shape;
  StateReader reader(bytes);
  const StateCounts counts = read_state_head(reader, StateKind::reference, shape, options_.cache);
  ReferenceState loaded;
  reset(loaded);
  loaded.n_tokens = counts.n_tokens;
  loaded.pin = counts.pin;
  for (std::int32_t l = 0; l < shape.n_layers; ++l) {
    if (layers_differ(options_.cache)) reader.number<std::uint64_t>();
    const LayerPlaces places = places_of(options_.cache, shape, l);
    for (HeadState& head : loaded.layers[static_cast<std::size_t>(l)])
      load_head(reader, options_.cache, places, counts, shape.heads(l).head_dim, head);
  }
  reader.expect_left(0);
  static_cast<ReferenceState&>(state) = std::move(loaded);
  return counts.n_tokens;
}

}  // namespace tovamill::reference
