// A document in the middle of its answers as bytes, little-endian:
//   u8 version, text digest of the document's prompts and the setting
//   the record so far (pipeline/document_record.h) with its length: counters, and the generations
//   that are complete
//   u8 whether the trunk was begun; varint answers, each with varint level, text source, varint
//   prompt tokens, varint pieces, each with u8 (0 waiting, 1 under way, 2 answered) and its answer
//   varint strands, each with u8 trunk, varint answer, varint piece, its bytes (Strand::save)
// Prompts are not in it: they are made of the text again.
#include "io/digest.h"
#include "io/little_endian.h"
#include "kernels/error.h"
#include "workers/generation_document.h"

namespace tovamill {
namespace {

constexpr std::uint8_t kVersion = 1;
constexpr char kWhere[] = "the saved state of a document";
enum class PieceStage : std::uint8_t { waiting = 0, under_way = 1, answered = 2 };

}  // namespace

std::string GenerationDocument::digest() const {
  Digest d;
  d.add(result_.file);
  for (const std::int32_t n :
       {setting_.strand.n_layers, setting_.strand.n_groups, setting_.strand.block,
        setting_.strand.vocab_size, setting_.piece_tokens, setting_.samples, pin_})
    d.add(static_cast<std::uint64_t>(static_cast<std::uint32_t>(n)));
  d.add(result_.offset);
  d.add(std::string_view(record_.text));
  for (const std::string& q : record_.questions) d.add(std::string_view(q));
  if (shared_) d.add(std::as_bytes(std::span(*shared_)));
  for (const auto& tail : tails_) d.add(std::as_bytes(std::span(tail)));
  return d.hex();
}

std::vector<std::byte> GenerationDocument::save() const {
  DocumentRecord so_far = result_;
  so_far.layers = counts_.layers();
  so_far.token_lifetimes = counts_.lifetimes();
  for (const Answer& a : answers_) {
    if (a.generation) so_far.generations.push_back(*a.generation);
  }
  ByteWriter out;
  out.fixed(kVersion);
  out.text(digest());
  out.bytes(encode(so_far));
  out.fixed(static_cast<std::uint8_t>(trunk_begun_));
  out.varint(answers_.size());
  for (const Answer& a : answers_) {
    out.varint(a.level);
    out.text(a.source);
    out.varint(a.n_prompt_tokens);
    out.varint(a.pieces.size());
    for (const Piece& p : a.pieces) {
      const PieceStage stage = p.answer     ? PieceStage::answered
                               : p.is_begun ? PieceStage::under_way
                                            : PieceStage::waiting;
      out.fixed(static_cast<std::uint8_t>(stage));
      if (p.answer) out.text(*p.answer);
    }
  }
  out.varint(strands_.size());
  std::vector<std::byte> bytes;
  for (const ActiveStrand& s : strands_) {
    out.fixed(static_cast<std::uint8_t>(s.is_trunk));
    out.varint(s.answer);
    out.varint(s.piece);
    s.strand.save(backend_, bytes);
    out.bytes(bytes);
  }
  return out.take();
}

bool GenerationDocument::restore(std::span<const std::byte> bytes) {
  // A strand may have been begun already: no step has taken it.
  strands_.clear();
  trunk_begun_ = false;
  for (Answer& a : answers_) {
    for (Piece& p : a.pieces) p.is_begun = false;
    a.n_prompt_tokens = 0;
  }
  const std::vector<Answer> fresh = answers_;
  const bool shares = shares_;
  try {
    take_up(bytes);
    return true;
  } catch (const BadData&) {
    answers_ = fresh;
    shares_ = shares;
    trunk_begun_ = false;
    strands_.clear();
    return false;
  }
}

void GenerationDocument::take_up(std::span<const std::byte> bytes) {
  ByteReader in(bytes, kWhere);
  if (in.fixed<std::uint8_t>() != kVersion) in.fail("its version is unknown");
  if (in.text() != digest()) in.fail("it is of another text or other options");
  DocumentRecord so_far = decode_document(in.bytes(), kWhere);
  if (so_far.layers.size() != counts_.layers().size()) in.fail("its counters are of another shape");
  trunk_begun_ = in.fixed<std::uint8_t>() != 0;
  if (in.varint() != answers_.size()) in.fail("it has another number of answers");
  std::size_t n_under_way = 0;
  for (Answer& a : answers_) {
    a.level = static_cast<std::uint32_t>(in.varint());
    a.source = in.text();
    a.n_prompt_tokens = in.varint();
    if (a.level > 0 && setting_.piece_tokens > 0) cut(a, a.source);
    if (in.varint() != a.pieces.size()) in.fail("it is cut into other pieces");
    for (Piece& p : a.pieces) {
      const auto stage = static_cast<PieceStage>(in.fixed<std::uint8_t>());
      p.is_begun = stage != PieceStage::waiting;
      if (stage == PieceStage::answered) p.answer = in.text();
      n_under_way += stage == PieceStage::under_way;
    }
  }
  for (Generation& g : so_far.generations) {
    for (Answer& a : answers_) {
      if (a.question == g.question && a.sample == g.sample) a.generation = std::move(g);
    }
  }
  const std::size_t n_strands = in.count(3);
  bool has_trunk = false;
  for (std::size_t i = 0; i < n_strands; ++i) {
    const bool is_trunk = in.fixed<std::uint8_t>() != 0;
    const Task task{static_cast<std::size_t>(in.varint()), static_cast<std::size_t>(in.varint())};
    const std::span<const std::byte> strand = in.bytes();
    if (is_trunk && (i > 0 || !shared_)) in.fail("a trunk of it has no place");
    if (!is_trunk && (task.answer >= answers_.size() ||
                      task.piece >= answers_[task.answer].pieces.size() || n_under_way == 0))
      in.fail("a strand of it has no place");
    strands_.push_back({Strand(setting_.strand, is_trunk ? trunk_plan() : plan_of(task)), is_trunk,
                        task.answer, task.piece});
    strands_.back().strand.restore(strand, kWhere);
    has_trunk |= is_trunk;
    n_under_way -= !is_trunk;
  }
  in.expect_end();
  if (n_under_way != 0) in.fail("it lacks strands");
  // A trunk that was let go is not read again for the answers that are left.
  if (trunk_begun_ && !has_trunk) shares_ = false;
  if (has_trunk) shares_ = true;
  counts_.restore(std::move(so_far.layers), so_far.token_lifetimes);
  result_.n_tokens = so_far.n_tokens;
}

}  // namespace tovamill
