// A document in the middle as bytes, little-endian:
//   u8 version, text digest of the document's tokens and the setting
//   varints: tokens of the document, taken by steps, before the current chunk, 1 + index of the
//   first token without a finite NLL (0: none)
//   the record so far (pipeline/run_directory/document_record.h), with its length
//   arrays lifetime_, n_dropped_, first_eviction_
//   the state (kernels/saved_state.h), to the end
// Tokens are not in it: they are made of the text again.

#include "io/files/little_endian.h"
#include "io/model/digest.h"
#include "workers/documents/document_stream.h"

namespace tovamill {
namespace {

constexpr std::uint8_t kStreamVersion = 1;
constexpr char kSavedStream[] = "the saved state of a document";

}  // namespace

std::string DocumentStream::digest() const {
  Digest d;
  for (const std::int32_t n :
       {setting_.n_layers, setting_.n_eviction_groups, setting_.vocab_size, setting_.block,
        setting_.chunk_tokens, static_cast<std::int32_t>(setting_.leading.size()),
        setting_.leading.empty() ? 0 : setting_.leading.front(), setting_.keep_tokens ? 1 : 0,
        setting_.keep_eviction_steps ? 1 : 0, static_cast<std::int32_t>(setting_.positions),
        setting_.clip_distance}) {
    d.add(static_cast<std::uint64_t>(static_cast<std::uint32_t>(n)));
  }
  if (analysis_.is_on()) {
    d.add(setting_.analysis.has_positions ? setting_.analysis.bins.width + 1 : 0);
    for (const ClassRecord& c : result_.analysis.classes) d.add(c.name);
  }
  // Not its line and id: those depend on where its lease began, and on whoever took it up.
  d.add(result_.file);
  for (const std::uint64_t n : {result_.offset, result_.n_bytes, result_.n_words}) d.add(n);
  d.add(std::as_bytes(std::span(tokens_)));
  return d.hex();
}

std::vector<std::byte> DocumentStream::save() const {
  ByteWriter out;
  out.fixed(kStreamVersion);
  out.text(digest());
  out.varint(tokens_.size());
  out.varint(next_);
  out.varint(chunk_begin_);
  out.varint(not_finite_ ? *not_finite_ + 1 : 0);
  out.bytes(encode(result_));
  out.array(lifetime_);
  out.array(n_dropped_);
  out.array(first_eviction_);
  std::vector<std::byte> bytes = out.take();
  states_.save(*state_, bytes);
  return bytes;
}

bool DocumentStream::restore(std::span<const std::byte> bytes) {
  is_ready(true);
  try {
    read_saved(bytes);
    return true;
  } catch (const BadData&) {
    states_.reset(*state_);
    return false;
  }
}

// Throws BadData before anything but the state is changed.
void DocumentStream::read_saved(std::span<const std::byte> bytes) {
  ByteReader in(bytes, kSavedStream);
  if (in.fixed<std::uint8_t>() != kStreamVersion) in.fail("its version is unknown");
  if (!rejection_.empty() || in.text() != digest() || in.varint() != tokens_.size())
    in.fail("it is of another text or other options");
  const std::uint64_t next = in.varint(), chunk_begin = in.varint(), not_finite = in.varint();
  const auto chunk = static_cast<std::uint64_t>(setting_.chunk_tokens);
  if (next >= tokens_.size() || chunk_begin != (chunk > 0 ? next / chunk * chunk : 0) ||
      (next - chunk_begin) % static_cast<std::uint64_t>(setting_.block) != 0 ||
      not_finite > next + 1)
    in.fail("it does not stand between two blocks");
  DocumentRecord result = decode_document(in.bytes(), kSavedStream);
  if (result.status != DocumentRecord::Status::scored || result.file != result_.file ||
      result.offset != result_.offset || result.n_bytes != result_.n_bytes ||
      result.n_words != result_.n_words || result.n_tokens != result_.n_tokens ||
      result.positions != result_.positions || result.clip_distance != result_.clip_distance ||
      result.n_eviction_groups != result_.n_eviction_groups || !result.token_lifetimes.empty() ||
      result.token_ids != result_.token_ids)
    in.fail("its record is of another document");
  std::vector<std::uint64_t> lifetime = in.array<std::uint64_t>();
  std::vector<std::uint16_t> n_dropped = in.array<std::uint16_t>();
  std::vector<std::int32_t> first_eviction = in.array<std::int32_t>();
  if (result.layers.size() != result_.layers.size() ||
      result.token_nll.size() != result_.token_nll.size() ||
      result.eviction_step.size() != result_.eviction_step.size() ||
      lifetime.size() != lifetime_.size() || n_dropped.size() != n_dropped_.size() ||
      first_eviction.size() != first_eviction_.size() ||
      !StreamAnalysis::fits(result.analysis, result_.analysis))
    in.fail("its counters are of another shape");
  if (states_.load(*state_, in.rest()) != static_cast<std::int64_t>(next - chunk_begin))
    in.fail("its state stands elsewhere");
  next_ = planned_ = static_cast<std::size_t>(next);
  chunk_begin_ = static_cast<std::size_t>(chunk_begin);
  not_finite_.reset();
  if (not_finite > 0) not_finite_ = static_cast<std::size_t>(not_finite - 1);
  result.id = result_.id;
  result.line = result_.line;
  result.span_begin = result_.span_begin;
  result.span_end = result_.span_end;
  result.n_lines = result_.n_lines;
  result_ = std::move(result);
  lifetime_ = std::move(lifetime);
  n_dropped_ = std::move(n_dropped);
  first_eviction_ = std::move(first_eviction);
}

}  // namespace tovamill
