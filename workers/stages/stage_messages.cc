#include "workers/stages/stage_messages.h"

#include <algorithm>
#include <string>

#include "io/files/little_endian.h"

namespace tovamill {
namespace {

constexpr char kStageMessage[] = "a message between stages";

ByteWriter start(StageKind kind, std::uint64_t number) {
  ByteWriter out;
  out.fixed(static_cast<std::uint8_t>(kind));
  out.varint(number);
  return out;
}

void put(ByteWriter& out, const StageBlock& b) {
  out.varint(b.state);
  for (const std::int32_t n : {b.block.first_row, b.block.n_tokens, b.block.pin}) out.fixed(n);
  out.fixed(b.block.position);
  out.fixed(b.block.random_key);
  out.fixed(
      static_cast<std::uint8_t>((b.block.keeps_all ? 1 : 0) | (b.block.asks_positions ? 2 : 0)));
}

StageBlock get_block(ByteReader& in) {
  StageBlock b;
  b.state = in.varint();
  for (std::int32_t* n : {&b.block.first_row, &b.block.n_tokens, &b.block.pin})
    *n = in.fixed<std::int32_t>();
  b.block.position = in.fixed<std::int64_t>();
  b.block.random_key = in.fixed<std::uint64_t>();
  const auto flags = in.fixed<std::uint8_t>();
  b.block.keeps_all = (flags & 1) != 0;
  b.block.asks_positions = (flags & 2) != 0;
  return b;
}

void put(ByteWriter& out, const BlockEvents& e) {
  out.varint(e.n_attended);
  out.varint(e.evictions.size());
  for (const Eviction& v : e.evictions) {
    for (const std::int32_t n : {v.position, v.step, v.group}) out.fixed(n);
    out.fixed(v.weight);
  }
}

BlockEvents get_events(ByteReader& in) {
  BlockEvents e;
  e.n_attended = in.varint();
  e.evictions.resize(in.count(16));
  for (Eviction& v : e.evictions) {
    for (std::int32_t* n : {&v.position, &v.step, &v.group}) *n = in.fixed<std::int32_t>();
    v.weight = in.fixed<float>();
  }
  return e;
}

void put(ByteWriter& out, const HeldPositions& positions) {
  out.varint(positions.size());
  for (const std::vector<std::int32_t>& p : positions) out.array(p);
}

HeldPositions get_positions(ByteReader& in) {
  HeldPositions positions(in.count(1));
  for (std::vector<std::int32_t>& p : positions) p = in.array<std::int32_t>();
  return positions;
}

}  // namespace

StateOrder link_order(const std::optional<NcclGroupId>& id) {
  StateOrder order{.kind = StageKind::link};
  if (id) order.parts.emplace_back(id->bytes.begin(), id->bytes.end());
  return order;
}

std::optional<NcclGroupId> link_id(const StateOrder& order) {
  if (order.parts.empty()) return std::nullopt;
  NcclGroupId id;
  if (order.parts.size() > 1 || order.parts.front().size() != id.bytes.size())
    throw BadData(std::string(kStageMessage) + ": the id of a link has another size");
  std::copy(order.parts.front().begin(), order.parts.front().end(), id.bytes.begin());
  return id;
}

Message encode(const StageStep& s) {
  ByteWriter out = start(StageKind::step, s.number);
  out.varint(s.blocks.size());
  for (const StageBlock& b : s.blocks) put(out, b);
  out.fixed(s.n_rows);
  out.array(s.targets);
  out.array(s.logit_rows);
  out.array(s.argmax_rows);
  out.bytes(s.rows);
  return out.take();
}

Message encode(const StateOrder& o) {
  ByteWriter out = start(o.kind, o.number);
  out.varint(o.state);
  out.varint(o.other);
  out.fixed(o.n_tokens);
  out.fixed(static_cast<std::uint8_t>(o.keeps_all));
  out.varint(o.parts.size());
  for (const std::vector<std::byte>& part : o.parts) out.bytes(part);
  return out.take();
}

Message encode_end() { return start(StageKind::end, 0).take(); }

Message encode_done(std::uint64_t number, std::span<const std::byte> bytes) {
  ByteWriter out = start(StageKind::done, number);
  out.bytes(bytes);
  return out.take();
}

Message encode_failed(std::uint64_t number, const Error& error, bool is_out_of_memory) {
  ByteWriter out = start(StageKind::failed, number);
  out.fixed(static_cast<std::uint8_t>(is_out_of_memory));
  out.varint(static_cast<std::uint64_t>(error.code()));
  out.text(error.what());
  return out.take();
}

std::vector<std::byte> pack(const StageStepDone& done) {
  ByteWriter out;
  out.varint(done.events.size());
  for (const BlockEvents& e : done.events) put(out, e);
  out.varint(done.positions.size());
  for (const HeldPositions& p : done.positions) put(out, p);
  out.array(done.nll);
  out.array(done.logits);
  out.array(done.argmax);
  return out.take();
}

std::vector<std::byte> pack(const HeldPositions& positions) {
  ByteWriter out;
  put(out, positions);
  return out.take();
}

std::vector<std::byte> pack(const StageReady& ready) {
  ByteWriter out;
  out.fixed(ready.n_streams);
  out.fixed(ready.full_rows);
  out.fixed(ready.state_budget);
  return out.take();
}

StageKind stage_kind_of(const Message& m) {
  ByteReader in(m, kStageMessage);
  const auto kind = in.fixed<std::uint8_t>();
  if (kind > static_cast<std::uint8_t>(StageKind::failed)) in.fail("its kind is unknown");
  return static_cast<StageKind>(kind);
}

StageStep decode_step(const Message& m) {
  ByteReader in(m, kStageMessage);
  in.fixed<std::uint8_t>();
  StageStep s;
  s.number = in.varint();
  s.blocks.resize(in.count(1));
  for (StageBlock& b : s.blocks) b = get_block(in);
  s.n_rows = in.fixed<std::int32_t>();
  s.targets = in.array<std::int32_t>();
  s.logit_rows = in.array<std::int32_t>();
  s.argmax_rows = in.array<std::int32_t>();
  s.rows = in.bytes();
  in.expect_end();
  if (s.n_rows < 0 ||
      (!s.targets.empty() && s.targets.size() != static_cast<std::size_t>(s.n_rows)))
    in.fail("it has another number of targets than rows");
  return s;
}

StateOrder decode_order(const Message& m) {
  ByteReader in(m, kStageMessage);
  StateOrder o;
  o.kind = static_cast<StageKind>(in.fixed<std::uint8_t>());
  o.number = in.varint();
  o.state = in.varint();
  o.other = in.varint();
  o.n_tokens = in.fixed<std::int64_t>();
  o.keeps_all = in.fixed<std::uint8_t>() != 0;
  o.parts.resize(in.count(1));
  for (std::vector<std::byte>& part : o.parts) {
    const std::span<const std::byte> bytes = in.bytes();
    part.assign(bytes.begin(), bytes.end());
  }
  in.expect_end();
  return o;
}

StageStepDone unpack_step_done(std::span<const std::byte> bytes) {
  ByteReader in(bytes, kStageMessage);
  StageStepDone done;
  done.events.resize(in.count(2));
  for (BlockEvents& e : done.events) e = get_events(in);
  done.positions.resize(in.count(1));
  for (HeldPositions& p : done.positions) p = get_positions(in);
  done.nll = in.array<float>();
  done.logits = in.array<float>();
  done.argmax = in.array<std::int32_t>();
  in.expect_end();
  return done;
}

HeldPositions unpack_positions(std::span<const std::byte> bytes) {
  ByteReader in(bytes, kStageMessage);
  HeldPositions positions = get_positions(in);
  in.expect_end();
  return positions;
}

StageReady unpack_ready(std::span<const std::byte> bytes) {
  ByteReader in(bytes, kStageMessage);
  StageReady ready;
  ready.n_streams = in.fixed<std::int32_t>();
  ready.full_rows = in.fixed<std::int32_t>();
  ready.state_budget = in.fixed<std::uint64_t>();
  in.expect_end();
  return ready;
}

StageAnswer decode_answer(const Message& m) {
  ByteReader in(m, kStageMessage);
  const auto kind = static_cast<StageKind>(in.fixed<std::uint8_t>());
  StageAnswer answer;
  answer.number = in.varint();
  if (kind == StageKind::done) {
    const std::span<const std::byte> bytes = in.bytes();
    answer.bytes.assign(bytes.begin(), bytes.end());
    in.expect_end();
    return answer;
  }
  if (kind != StageKind::failed) in.fail("it is no answer");
  const bool is_out_of_memory = in.fixed<std::uint8_t>() != 0;
  const auto code = static_cast<ExitCode>(in.varint());
  const std::string text = in.text();
  if (is_out_of_memory) throw OutOfMemory(text);
  if (code == ExitCode::bad_data) throw BadData(text);
  throw Error(code, text);
}

}  // namespace tovamill
