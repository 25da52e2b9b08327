#include "pipeline/distributed/messages.h"

#include "io/files/little_endian.h"

namespace tovamill {
namespace {

constexpr std::size_t kMostOpenLeases = 64;

ByteWriter start(MessageKind kind) {
  ByteWriter out;
  out.fixed(static_cast<std::uint8_t>(kind));
  return out;
}

ByteReader start_reading(const Message& m, MessageKind kind) {
  ByteReader in(m, "a message between ranks");
  if (in.fixed<std::uint8_t>() != static_cast<std::uint8_t>(kind)) in.fail("it is of another kind");
  return in;
}

std::string cut(const std::string& text) { return text.substr(0, kMostTextBytes); }

template <class Enum>
void put(ByteWriter& out, Enum value) {
  out.fixed(static_cast<std::uint8_t>(value));
}
template <class Enum>
Enum get(ByteReader& in, Enum last) {
  const auto value = in.fixed<std::uint8_t>();
  if (value > static_cast<std::uint8_t>(last)) in.fail("it holds an unknown value");
  return static_cast<Enum>(value);
}

void put(ByteWriter& out, const WeightsPlace& t) {
  out.fixed(t.pid);
  out.fixed(t.fd);
  out.fixed(t.n_bytes);
  out.fixed(t.identity);
}
WeightsPlace get_weights_place(ByteReader& in) {
  WeightsPlace t;
  t.pid = in.fixed<std::int32_t>();
  t.fd = in.fixed<std::int32_t>();
  t.n_bytes = in.fixed<std::uint64_t>();
  t.identity = in.fixed<std::uint64_t>();
  return t;
}

void put(ByteWriter& out, const WorkerCounters& c) {
  for (const std::uint64_t n : {c.n_documents, c.n_failed, c.n_tokens}) out.varint(n);
  for (const double s : {c.seconds_computing, c.seconds_waiting, c.seconds_writing}) out.fixed(s);
}
WorkerCounters get_counters(ByteReader& in) {
  WorkerCounters c;
  for (std::uint64_t* n : {&c.n_documents, &c.n_failed, &c.n_tokens}) *n = in.varint();
  for (double* s : {&c.seconds_computing, &c.seconds_waiting, &c.seconds_writing})
    *s = in.fixed<double>();
  return c;
}

}  // namespace

Message encode(const Registration& m) {
  ByteWriter out = start(MessageKind::registration);
  out.text(cut(m.host).substr(0, 256));
  out.fixed(m.pid);
  out.fixed(m.n_threads);
  out.text(cut(m.device).substr(0, 256));
  out.text(cut(m.fingerprint));
  out.text(cut(m.differences));
  return out.take();
}

Registration decode_registration(const Message& m) {
  ByteReader in = start_reading(m, MessageKind::registration);
  Registration h;
  h.host = in.text();
  h.pid = in.fixed<std::int32_t>();
  h.n_threads = in.fixed<std::int32_t>();
  h.device = in.text();
  h.fingerprint = in.text();
  h.differences = in.text();
  in.expect_end();
  return h;
}

Message encode(const Report& m) {
  ByteWriter out = start(MessageKind::report);
  out.varint(m.number);
  out.varint(m.accepted);
  out.varint(m.open.size());
  for (const std::uint64_t n : m.open) out.varint(n);
  put(out, m.phase);
  put(out, m.wants);
  out.fixed(static_cast<std::uint8_t>(m.stop_requested));
  out.fixed(static_cast<std::uint8_t>(m.journal_is_open));
  out.varint(m.bytes_open);
  put(out, m.counters);
  out.fixed(static_cast<std::uint8_t>(m.weights.has_value()));
  if (m.weights) put(out, *m.weights);
  return out.take();
}

Report decode_report(const Message& m) {
  ByteReader in = start_reading(m, MessageKind::report);
  Report r;
  r.number = in.varint();
  r.accepted = in.varint();
  r.open.resize(in.count(1));
  if (r.open.size() > kMostOpenLeases) in.fail("too many leases are open");
  for (std::uint64_t& n : r.open) n = in.varint();
  r.phase = get(in, WorkerPhase::left);
  r.wants = get(in, Wants::now);
  r.stop_requested = in.fixed<std::uint8_t>() != 0;
  r.journal_is_open = in.fixed<std::uint8_t>() != 0;
  r.bytes_open = in.varint();
  r.counters = get_counters(in);
  if (in.fixed<std::uint8_t>() != 0) r.weights = get_weights_place(in);
  in.expect_end();
  return r;
}

Message encode(const WorkerFailure& m) {
  ByteWriter out = start(MessageKind::failure);
  out.fixed(static_cast<std::int32_t>(m.exit_code));
  out.fixed(static_cast<std::uint8_t>(m.fatal));
  out.text(cut(m.text));
  return out.take();
}

WorkerFailure decode_failure(const Message& m) {
  ByteReader in = start_reading(m, MessageKind::failure);
  WorkerFailure t;
  t.exit_code = in.fixed<std::int32_t>();
  t.fatal = in.fixed<std::uint8_t>() != 0;
  t.text = in.text();
  in.expect_end();
  return t;
}

Message encode(const Heartbeat& m) {
  ByteWriter out = start(MessageKind::heartbeat);
  out.varint(m.number);
  put(out, m.order);
  out.fixed(static_cast<std::uint8_t>(m.is_known));
  out.fixed(static_cast<std::uint8_t>(m.all_alive));
  out.fixed(m.launch);
  out.text(m.dtype);
  out.fixed(m.useful_streams);
  put(out, m.weights);
  put(out, m.weights_place);
  return out.take();
}

Heartbeat decode_heartbeat(const Message& m) {
  ByteReader in = start_reading(m, MessageKind::heartbeat);
  Heartbeat p;
  p.number = in.varint();
  p.order = get(in, RunOrder::end);
  p.is_known = in.fixed<std::uint8_t>() != 0;
  p.all_alive = in.fixed<std::uint8_t>() != 0;
  p.launch = in.fixed<std::int32_t>();
  p.dtype = in.text();
  p.useful_streams = in.fixed<std::int32_t>();
  p.weights = get(in, WeightsOrder::pack_alone);
  p.weights_place = get_weights_place(in);
  in.expect_end();
  return p;
}

Message encode(const Lease& m) {
  ByteWriter out = start(MessageKind::lease);
  out.varint(m.number);
  put(out, m.mode);
  out.text(m.note.substr(0, 400));
  out.varint(m.ranges.size());
  const std::string* last = nullptr;  // the ranges of one file hold its path once
  for (const LeasedRange& p : m.ranges) {
    out.text(last != nullptr && *last == p.path ? std::string() : p.path);
    last = &p.path;
    put(out, p.format.kind);
    put(out, p.format.compression);
    for (const std::uint64_t n : {p.file_bytes, p.begin, p.end, p.n_bytes}) out.varint(n);
  }
  return out.take();
}

Lease decode_lease(const Message& m) {
  ByteReader in = start_reading(m, MessageKind::lease);
  Lease g;
  g.number = in.varint();
  g.mode = get(in, LeaseMode::quarantined);
  g.note = in.text();
  g.ranges.resize(in.count(7));
  for (std::size_t i = 0; i < g.ranges.size(); ++i) {
    LeasedRange& p = g.ranges[i];
    p.path = in.text();
    if (p.path.empty() && i > 0) p.path = g.ranges[i - 1].path;
    p.format.kind = get(in, CorpusFormat::kLastKind);
    p.format.compression = get(in, CorpusFormat::kLastCompression);
    for (std::uint64_t* n : {&p.file_bytes, &p.begin, &p.end, &p.n_bytes}) *n = in.varint();
  }
  in.expect_end();
  return g;
}

MessageKind kind_of(const Message& m) {
  ByteReader in(m, "a message between ranks");
  const auto kind = static_cast<MessageKind>(in.fixed<std::uint8_t>());
  switch (kind) {
    case MessageKind::registration:
    case MessageKind::report:
    case MessageKind::failure:
    case MessageKind::heartbeat:
    case MessageKind::lease:
      return kind;
  }
  in.fail("its kind is unknown");
}

bool is_for_coordinator(MessageKind kind) { return kind <= MessageKind::failure; }

}  // namespace tovamill
