// Layout: version (a later one for records with settings or an analysis, so that others stay as
// they were), then the fields that a scan needs (RecordKey), then the rest in the order of the
// struct. Counters are LEB128 numbers and histograms end with their last full bin, for most of them
// are zero.
#include "pipeline/run_directory/document_record.h"

#include <bit>
#include <limits>
#include <utility>

#include "io/files/little_endian.h"

namespace tovamill {
namespace {

// A record of settings has no analysis of its own, but those of its settings.
constexpr std::uint8_t kVersion = 3, kVersionWithSettings = 4, kVersionWithAnalysis = 5;

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
       {&c.lifetime, &c.survivor_age, &c.first_token_kept, &c.first_token_reached})
    put(out, *h);
  out.fixed(c.evicted_weight);
}

void get(ByteReader& in, LayerCounters& c) {
  for (std::uint64_t* n : {&c.n_evictions, &c.n_attended, &c.n_survivors, &c.n_recent})
    *n = in.varint();
  for (LogHistogram* h :
       {&c.lifetime, &c.survivor_age, &c.first_token_kept, &c.first_token_reached})
    get(in, *h);
  c.evicted_weight = in.fixed<double>();
}

void put(ByteWriter& out, const Generation& g) {
  for (const std::uint64_t n :
       {std::uint64_t{g.question}, std::uint64_t{g.sample}, g.n_prompt_tokens, g.n_new_tokens})
    out.varint(n);
  for (const std::string* text : {&g.question_text, &g.text, &g.prompt_hash}) out.text(*text);
  out.fixed(static_cast<std::uint8_t>(g.finish_reason));
  out.array(g.ids);
  out.varint(g.references.size());
  for (const std::string& reference : g.references) out.text(reference);
  out.fixed(static_cast<std::uint8_t>(g.scores.has_value()));
  if (!g.scores) return;
  for (const auto* values : {&g.scores->best, &g.scores->mean}) {
    for (const double x : *values) out.fixed(x);
  }
}

// The least size of an entry of `put`: a byte for each number and each length.
constexpr std::size_t kLeastGenerationBytes = 11;

void get(ByteReader& in, Generation& g) {
  for (std::uint32_t* n : {&g.question, &g.sample}) {
    const std::uint64_t number = in.varint();
    if (number > std::numeric_limits<std::uint32_t>::max())
      in.fail("the number of a question or sample is too large");
    *n = static_cast<std::uint32_t>(number);
  }
  g.n_prompt_tokens = in.varint();
  g.n_new_tokens = in.varint();
  for (std::string* text : {&g.question_text, &g.text, &g.prompt_hash}) *text = in.text();
  if (g.prompt_hash.size() > kHashDigits) in.fail("the hash of a prompt is too long");
  const auto reason = in.fixed<std::uint8_t>();
  if (reason > static_cast<std::uint8_t>(FinishReason::length))
    in.fail("the reason for a text's end is unknown");
  g.finish_reason = static_cast<FinishReason>(reason);
  g.ids = in.array<std::int32_t>();
  if (g.ids.size() != g.n_new_tokens) in.fail("a text does not have one id per new token");
  g.references.resize(in.count(1));
  for (std::string& reference : g.references) reference = in.text();
  const auto has_scores = in.fixed<std::uint8_t>();
  if (has_scores > 1 || (has_scores == 1 && g.references.empty()))
    in.fail("a text has scores without references");
  if (has_scores == 0) return;
  g.scores.emplace();
  for (auto* values : {&g.scores->best, &g.scores->mean}) {
    for (double& x : *values) x = in.fixed<double>();
  }
}

// The texts ascend by question, then sample, each once.
void get(ByteReader& in, std::vector<Generation>& generations) {
  generations.resize(in.count(kLeastGenerationBytes));
  const Generation* last = nullptr;
  for (Generation& g : generations) {
    get(in, g);
    if (last && std::pair(last->question, last->sample) >= std::pair(g.question, g.sample))
      in.fail("the texts do not ascend by question and sample");
    last = &g;
  }
}

// One after another, each with its length.
void get(ByteReader& in, std::vector<DocumentRecord>& settings, const std::string& where) {
  const std::size_t n = in.count(1);
  if (n == 0) in.fail("a record of a sweep has no setting");
  for (std::size_t i = 0; i < n; ++i) {
    const std::span<const std::byte> bytes = in.bytes();
    if (decode_key(bytes, where).has_settings) in.fail("a setting has settings of its own");
    settings.push_back(decode_document(bytes, where));
  }
}

// The fields in front, in one list for reading and writing.
RecordKey get_key(ByteReader& in) {
  const auto version = in.fixed<std::uint8_t>();
  if (version < kVersion || version > kVersionWithAnalysis)
    in.fail("the record has version " + std::to_string(version) + ", this program reads " +
            std::to_string(kVersion) + " to " + std::to_string(kVersionWithAnalysis));
  RecordKey key;
  key.has_settings = version == kVersionWithSettings;
  key.has_analysis = version == kVersionWithAnalysis;
  const auto status = in.fixed<std::uint8_t>();
  if (status > static_cast<std::uint8_t>(DocumentRecord::Status::unscored))
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

DocumentRecord identity_of(const DocumentRecord& record) {
  DocumentRecord r;
  r.id = record.id;
  r.file = record.file;
  r.line = record.line;
  r.offset = record.offset;
  r.span_begin = record.span_begin;
  r.span_end = record.span_end;
  r.n_lines = record.n_lines;
  r.n_bytes = record.n_bytes;
  return r;
}

std::vector<std::byte> encode(const DocumentRecord& r) {
  ByteWriter out;
  out.fixed(!r.settings.empty()     ? kVersionWithSettings
            : r.analysis.is_empty() ? kVersion
                                    : kVersionWithAnalysis);
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
  out.fixed(r.n_eviction_groups);
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
  out.array(r.eviction_step);
  out.varint(r.generations.size());
  for (const Generation& g : r.generations) put(out, g);
  out.fixed(static_cast<std::int32_t>(r.rank));
  out.fixed(r.seconds);
  if (r.settings.empty()) {
    if (!r.analysis.is_empty()) put(out, r.analysis);
    return out.take();
  }
  out.varint(r.settings.size());
  for (const DocumentRecord& setting : r.settings) out.bytes(encode(setting));
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
  r.n_eviction_groups = in.fixed<std::uint32_t>();
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
  r.eviction_step = in.array<std::int32_t>();
  get(in, r.generations);
  if (r.status == DocumentRecord::Status::failed && !r.generations.empty())
    in.fail("a failed document has texts");
  r.rank = in.fixed<std::int32_t>();
  r.seconds = in.fixed<double>();
  if (key.has_settings) get(in, r.settings, where);
  if (key.has_analysis) get(in, r.analysis);
  in.expect_end();
  if (!r.analysis.states.empty() && r.analysis.states.size() != r.layers.size())
    in.fail("its analysis is of another number of layers");
  const auto is_per_token = [&](std::size_t n, std::size_t rows) {
    return n == 0 || (rows > 0 && n % rows == 0 && n / rows == r.n_tokens);
  };
  if (!is_per_token(r.token_nll.size(), 1) || !is_per_token(r.token_ids.size(), 1) ||
      !is_per_token(r.eviction_step.size(), r.layers.size()))
    in.fail("an array does not have one entry per token");
  return r;
}

}  // namespace tovamill
