// Layout: version, then the fields that a scan needs (RecordKey), then the rest in the order of the
// struct. Counters are LEB128 numbers and histograms end with their last full bin, for most of them
// are zero.
#include "pipeline/document_record.h"

#include <bit>

#include "io/little_endian.h"

namespace tovamill {
namespace {

constexpr std::uint8_t kVersion = 2;

void put(ByteWriter& out, const LogHistogram& h) {
  std::size_t n = h.size();
  while (n > 0 && h[n - 1] == 0) --n;
  out.varint(n);
  for (std::size_t b = 0; b < n; ++b) out.varint(h[b]);
}

void get(ByteReader& in, LogHistogram& h) {
  const std::size_t n = in.count(1);
  if (n > h.size()) in.fail("a histogram has too many bins");
  h.fill(0);
  for (std::size_t b = 0; b < n; ++b) h[b] = in.varint();
}

void put(ByteWriter& out, const LayerCounters& c) {
  for (const std::uint64_t n : {c.n_evictions, c.n_attended, c.n_survivors, c.n_recent})
    out.varint(n);
  for (const LogHistogram* h :
       {&c.lifetime, &c.survivor_age, &c.first_token_alive, &c.first_token_reached})
    put(out, *h);
  out.fixed(c.evicted_weight);
}

void get(ByteReader& in, LayerCounters& c) {
  for (std::uint64_t* n : {&c.n_evictions, &c.n_attended, &c.n_survivors, &c.n_recent})
    *n = in.varint();
  for (LogHistogram* h :
       {&c.lifetime, &c.survivor_age, &c.first_token_alive, &c.first_token_reached})
    get(in, *h);
  c.evicted_weight = in.fixed<double>();
}

// The fields in front, in one place for both directions.
RecordKey get_key(ByteReader& in) {
  if (in.fixed<std::uint8_t>() != kVersion) in.fail("the record has an unknown version");
  RecordKey key;
  const auto status = in.fixed<std::uint8_t>();
  if (status > static_cast<std::uint8_t>(DocumentRecord::Status::failed))
    in.fail("the status is unknown");
  key.status = static_cast<DocumentRecord::Status>(status);
  key.file = in.text();
  key.offset = in.varint();
  key.span_begin = in.varint();
  key.span_end = in.varint();
  key.n_lines = in.varint();
  if (key.span_begin > key.span_end) in.fail("a span ends before it begins");
  key.n_tokens = in.varint();
  key.id = in.text();
  key.failure_text = in.text();
  return key;
}

}  // namespace

int log_bin(std::uint64_t value) {
  const int bin = value < 2 ? 0 : std::bit_width(value) - 1;
  return bin < kLogBins ? bin : kLogBins - 1;
}

std::string_view name_of(FinishReason reason) {
  return reason == FinishReason::stop ? "stop" : "length";
}

std::vector<std::byte> encode(const DocumentRecord& r) {
  ByteWriter out;
  out.fixed(kVersion);
  out.fixed(static_cast<std::uint8_t>(r.status));
  out.text(r.file);
  for (const std::uint64_t n : {r.offset, r.span_begin, r.span_end, r.n_lines, r.n_tokens})
    out.varint(n);
  out.text(r.id);
  out.text(r.failure_text);
  for (const std::uint64_t n : {r.line, r.n_bytes, r.n_words, r.n_scored}) out.varint(n);
  out.fixed(r.nll_sum);
  out.fixed(r.nll_sum_sq);
  out.fixed(r.positions);
  out.fixed(r.clip_distance);
  out.fixed(r.n_groups);
  out.text(r.failure_reason);
  out.varint(r.layers.size());
  for (const LayerCounters& layer : r.layers) put(out, layer);
  out.varint(r.token_lifetimes.size());
  for (const TokenLifetime& t : r.token_lifetimes) {
    out.fixed(t.id);
    out.varint(t.count);
    out.varint(t.lifetime);
  }
  out.array(r.token_nll);
  out.array(r.token_ids);
  out.array(r.death);
  out.fixed(static_cast<std::int32_t>(r.rank));
  out.fixed(r.seconds);
  return out.take();
}

RecordKey decode_key(std::span<const std::byte> bytes, const std::string& where) {
  ByteReader in(bytes, where);
  return get_key(in);
}

DocumentRecord decode_document(std::span<const std::byte> bytes, const std::string& where) {
  ByteReader in(bytes, where);
  RecordKey key = get_key(in);
  DocumentRecord r;
  r.status = key.status;
  r.file = std::move(key.file);
  r.offset = key.offset;
  r.span_begin = key.span_begin;
  r.span_end = key.span_end;
  r.n_lines = key.n_lines;
  r.n_tokens = key.n_tokens;
  r.id = std::move(key.id);
  r.failure_text = std::move(key.failure_text);
  for (std::uint64_t* n : {&r.line, &r.n_bytes, &r.n_words, &r.n_scored}) *n = in.varint();
  r.nll_sum = in.fixed<double>();
  r.nll_sum_sq = in.fixed<double>();
  r.positions = in.fixed<std::uint8_t>();
  r.clip_distance = in.fixed<std::int32_t>();
  r.n_groups = in.fixed<std::uint32_t>();
  r.failure_reason = in.text();
  constexpr std::size_t kLeastLayerBytes = 4 + 4 + 8, kLeastLifetimeBytes = 4 + 1 + 1;
  r.layers.resize(in.count(kLeastLayerBytes));
  for (LayerCounters& layer : r.layers) get(in, layer);
  r.token_lifetimes.resize(in.count(kLeastLifetimeBytes));
  for (TokenLifetime& t : r.token_lifetimes) {
    t.id = in.fixed<std::int32_t>();
    t.count = in.varint();
    t.lifetime = in.varint();
  }
  r.token_nll = in.array<float>();
  r.token_ids = in.array<std::int32_t>();
  r.death = in.array<std::int32_t>();
  r.rank = in.fixed<std::int32_t>();
  r.seconds = in.fixed<double>();
  in.expect_end();
  const auto is_per_token = [&](std::size_t n, std::size_t rows) {
    return n == 0 || (rows > 0 && n % rows == 0 && n / rows == r.n_tokens);
  };
  if (!is_per_token(r.token_nll.size(), 1) || !is_per_token(r.token_ids.size(), 1) ||
      !is_per_token(r.death.size(), r.layers.size()))
    in.fail("an array does not have one entry per token");
  return r;
}

}  // namespace tovamill
