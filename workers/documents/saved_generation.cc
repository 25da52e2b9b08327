// A document in the middle of its answers as bytes, little-endian:
//   u8 version, text digest of the document's prompts and the setting
//   the record so far (pipeline/run_directory/document_record.h) with its length: counters, and the
//   generations that are complete u8 whether the shared prefix was begun; varint answers, each with
//   varint level, text source, varint most chunks, varint prompt tokens, varint chunks, each with
//   u8 (0 waiting, 1 in flight, 2 answered) and its answer varint sequences, each with u8 shared
//   prefix, varint answer, varint chunk, its bytes (Sequence::save)
// Prompts are not in it: they are made of the text again.
#include <algorithm>
#include <limits>
#include <set>
#include <utility>

#include "io/files/little_endian.h"
#include "io/model/digest.h"
#include "kernels/types/error.h"
#include "workers/documents/generation_document.h"

namespace tovamill {
namespace {

constexpr std::uint8_t kGenerationVersion = 2;
constexpr char kSavedGeneration[] = "the saved state of a document";
enum class ChunkStage : std::uint8_t { waiting = 0, in_flight = 1, answered = 2 };

}  // namespace

std::string GenerationDocument::digest() const {
  Digest d;
  d.add(result_.file);
  for (const std::int32_t n :
       {setting_.sequence.n_layers, setting_.sequence.n_eviction_groups, setting_.sequence.block,
        setting_.sequence.vocab_size, setting_.chunk_tokens, setting_.samples})
    d.add(static_cast<std::uint64_t>(static_cast<std::uint32_t>(n)));
  d.add(result_.offset);
  d.add(std::string_view(record_.text));
  for (const std::string& q : record_.questions) d.add(std::string_view(q));
  prompts_.add_to(d);
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
  out.fixed(kGenerationVersion);
  out.text(digest());
  out.bytes(encode(so_far));
  out.fixed(static_cast<std::uint8_t>(shared_prefix_begun_));
  out.varint(answers_.size());
  for (const Answer& a : answers_) {
    out.varint(a.level);
    out.text(a.source);
    out.varint(a.most_chunks);
    out.varint(a.n_prompt_tokens);
    out.varint(a.chunks.size());
    for (const DocumentChunk& p : a.chunks) {
      const ChunkStage stage = p.answer     ? ChunkStage::answered
                               : p.is_begun ? ChunkStage::in_flight
                                            : ChunkStage::waiting;
      out.fixed(static_cast<std::uint8_t>(stage));
      if (p.answer) out.text(*p.answer);
    }
  }
  out.varint(sequences_.size());
  std::vector<std::byte> bytes;
  for (const ActiveSequence& s : sequences_) {
    out.fixed(static_cast<std::uint8_t>(s.is_shared_prefix));
    out.varint(s.answer);
    out.varint(s.chunk);
    s.sequence.save(states_, bytes);
    out.bytes(bytes);
  }
  return out.take();
}

void GenerationDocument::begin_anew() {
  sequences_.clear();
  shared_prefix_begun_ = false;
  shares_ = may_share_;
  for (Answer& a : answers_) {
    if (a.level > 0) a.chunks = cut(record_.text, 0);
    for (DocumentChunk& p : a.chunks) {
      p.is_begun = false;
      p.answer.reset();
    }
    a.level = 0;
    a.source.clear();
    a.most_chunks = 0;
    a.n_prompt_tokens = 0;
    a.generation.reset();
  }
  counts_ = CacheCounts(setting_.sequence.n_layers, setting_.sequence.n_eviction_groups);
  result_.n_tokens = 0;
}

bool GenerationDocument::restore(std::span<const std::byte> bytes) {
  begin_anew();  // a sequence may have been begun already: no step has taken it
  try {
    read_saved(bytes);
    return true;
  } catch (const BadData&) {
    begin_anew();
    return false;
  }
}

void GenerationDocument::read_saved(std::span<const std::byte> bytes) {
  ByteReader in(bytes, kSavedGeneration);
  if (in.fixed<std::uint8_t>() != kGenerationVersion) in.fail("its version is unknown");
  if (in.text() != digest()) in.fail("it is of another text or other options");
  DocumentRecord so_far = decode_document(in.bytes(), kSavedGeneration);
  if (so_far.layers.size() != counts_.layers().size()) in.fail("its counters are of another shape");
  for (const TokenLifetime& t : so_far.token_lifetimes) {
    if (t.id < 0 || t.id >= setting_.sequence.vocab_size) in.fail("it counts an unknown token");
  }
  shared_prefix_begun_ = in.fixed<std::uint8_t>() != 0;
  if (in.varint() != answers_.size()) in.fail("it has another number of answers");
  for (Answer& a : answers_) restore_answer(a, in);
  for (Generation& g : so_far.generations) restore_generation(std::move(g), in);
  const auto is_answered = [](const Answer& a) { return a.generation.has_value(); };
  if (std::all_of(answers_.begin(), answers_.end(), is_answered)) in.fail("it is at its end");
  restore_sequences(in);
  counts_.restore(std::move(so_far.layers), so_far.token_lifetimes);
  result_.n_tokens = so_far.n_tokens;
}

void GenerationDocument::restore_answer(Answer& a, ByteReader& in) const {
  const std::uint64_t level = in.varint();
  std::string source = in.text();
  const std::uint64_t most = in.varint();
  if (level > std::numeric_limits<std::uint32_t>::max() ||
      (level > 0 && (setting_.chunk_tokens == 0 || most == 0)))
    in.fail("an answer's chunks are impossible");
  a.level = static_cast<std::uint32_t>(level);
  if (level > 0) take_place(a, std::move(source), static_cast<std::size_t>(most));
  a.n_prompt_tokens = in.varint();
  if (in.varint() != a.chunks.size()) in.fail("it is cut into other chunks");
  for (DocumentChunk& p : a.chunks) {
    const auto stage = in.fixed<std::uint8_t>();
    if (stage > static_cast<std::uint8_t>(ChunkStage::answered))
      in.fail("a chunk's stage is unknown");
    p.is_begun = stage != static_cast<std::uint8_t>(ChunkStage::waiting);
    if (stage == static_cast<std::uint8_t>(ChunkStage::answered)) p.answer = in.text();
  }
}

void GenerationDocument::restore_generation(Generation g, ByteReader& in) {
  for (Answer& a : answers_) {
    if (a.question != g.question || a.sample != g.sample) continue;
    if (a.chunks.size() != 1 || !a.chunks.front().answer) in.fail("a text of it has no place");
    a.generation = std::move(g);
    return;
  }
  in.fail("a text of it has no question");
}

// Each chunk in flight has its sequence; else it would wait for ever.
void GenerationDocument::restore_sequences(ByteReader& in) {
  std::set<std::pair<std::size_t, std::size_t>> in_flight;
  for (std::size_t a = 0; a < answers_.size(); ++a) {
    const std::vector<DocumentChunk>& chunks = answers_[a].chunks;
    for (std::size_t p = 0; p < chunks.size(); ++p) {
      if (chunks[p].is_begun && !chunks[p].answer) in_flight.emplace(a, p);
    }
    const auto is_answered = [](const DocumentChunk& p) { return p.answer.has_value(); };
    if (!answers_[a].generation && std::all_of(chunks.begin(), chunks.end(), is_answered))
      in.fail("a text of it is missing");
  }
  const std::size_t n_sequences = in.count(3);
  for (std::size_t i = 0; i < n_sequences; ++i) {
    const bool is_shared_prefix = in.fixed<std::uint8_t>() != 0;
    const Task task{static_cast<std::size_t>(in.varint()), static_cast<std::size_t>(in.varint())};
    const std::span<const std::byte> sequence = in.bytes();
    if (is_shared_prefix ? i > 0 || !prompts_.shared() || !shared_prefix_begun_
                         : in_flight.erase({task.answer, task.chunk}) == 0)
      in.fail("a sequence of it has no place");
    sequences_.push_back(
        {Sequence(setting_.sequence, is_shared_prefix ? shared_prefix_plan() : plan_of(task)),
         is_shared_prefix, task.answer, task.chunk});
    sequences_.back().sequence.restore(sequence, kSavedGeneration);
  }
  in.expect_end();
  if (!in_flight.empty()) in.fail("it lacks strands");
  // A shared prefix that was let go is not read again for the answers that are left.
  if (shared_prefix_begun_) shares_ = shared_prefix() != nullptr;
}

}  // namespace tovamill
