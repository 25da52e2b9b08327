// A document for which texts are written: an answer to each of its questions (or one), each so many
// times as samples are wanted.
//
// In one stream (--strategy stream) what all prompts have in common, the document above all, is
// read once; each answer goes on from a copy of that state. In pieces (--strategy chunk) each piece
// of the document is answered on its own, then the answers one after another take the document's
// place, in fewer pieces each time, until one is left.
#pragma once

#include <cstdint>
#include <list>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "engine/model/forward.h"
#include "workers/documents/document_prompts.h"
#include "workers/documents/document_work.h"
#include "workers/documents/prompting.h"
#include "workers/documents/strand.h"

namespace tovamill {

class ByteReader;

// What the documents of a run have in common.
struct GenerationSetting {
  StrandSetting strand;
  std::int32_t samples = 1;
  std::int32_t piece_tokens = 0;  // --strategy chunk; 0: in one stream
  std::int32_t cache_size = 0;    // 0: unbounded
  bool pins_instruction = false;
  bool stems = false;
  std::uint8_t positions = 0;  // for the record
  std::int32_t clip_distance = 0;
};

class GenerationDocument final : public DocumentUnderWay {
 public:
  struct ActiveStrand {
    Strand strand;
    bool is_trunk = false;              // reads what all answers share
    std::size_t answer = 0, piece = 0;  // that it writes, unless it is the trunk
    bool is_under_way = false;          // in a step that is: it stays where it is until that ends
  };

  GenerationDocument(const GenerationSetting& setting, const Prompting& prompting,
                     StateKeeper& states, StatePool& pool, CorpusRecord record);

  bool finished() const override;
  const std::string& obstacle() const override { return obstacle_; }
  std::uint64_t n_bytes() const override { return result_.n_bytes; }
  double fraction_done() const override;
  std::vector<std::byte> save() const override;
  bool restore(std::span<const std::byte> bytes) override;
  DocumentRecord finish(int rank) override;

  // Whether several answers wait for one trunk: it must be possible to hold two states.
  bool shares() const { return shares_; }
  // Bytes of all states that it must be possible to hold to come to an answer.
  std::uint64_t least_bytes() const;
  // Bytes of the state that its next strand waits for; nothing where none waits.
  std::optional<std::uint64_t> wants_state() const;
  // Whether that strand goes on from a saved state.
  bool waits_with_state() const;
  // Begins that strand, or goes on with it; all begins anew where its saved state is damaged, so
  // none may be under way where one waits with it.
  void give(StatePool::Lease state);
  // Lets the trunk go: the answers that are left read all of their prompts themselves.
  void drop_trunk();
  std::list<ActiveStrand>& strands() { return strands_; }
  // The step has taken `n` tokens of the strand, its `index`-th block; before the choice of the
  // next one.
  void took(ActiveStrand& active, std::int32_t n, const StepOutput& output, std::size_t index);
  // Puts away the strands that are done.
  void settle();
  // Begins the last answer with the trunk's own state; false where it is not the time.
  bool follow_trunk();

 private:
  struct Piece {
    std::shared_ptr<const std::string> text;  // of the document; null in one stream
    std::optional<std::string> answer;
    bool is_begun = false;
  };
  struct Answer {
    std::size_t question = 0;
    std::uint32_t sample = 0;
    std::uint32_t level = 0;      // how often answers have taken the document's place
    std::string source;           // what the pieces are of, from level 1 on
    std::size_t most_pieces = 0;  // it is cut into; 0: any number
    std::vector<Piece> pieces;
    std::uint64_t n_prompt_tokens = 0;  // of all its prompts
    std::optional<Generation> generation;
  };
  struct Task {
    std::size_t answer, piece;
  };

  void make_prompts();
  void check_pins();
  void check_memory();
  void begin_anew();
  std::vector<Piece> cut(const std::string& text, std::size_t most) const;
  void take_place(Answer& answer, std::string source, std::size_t most) const;
  std::uint64_t trunk_bytes() const;
  std::uint64_t most_task_bytes() const;
  std::optional<Task> next_task() const;
  std::uint64_t task_bytes(const Task& task) const;
  std::size_t n_waiting() const;
  const std::string* question_of(const Answer& answer) const;
  StrandPlan trunk_plan() const;
  StrandPlan plan_of(const Task& task) const;
  std::uint64_t random_text(const Task& task) const;
  ActiveStrand& begin(const Task& task);
  ActiveStrand* trunk();
  const ActiveStrand* trunk() const;
  void put_away(ActiveStrand& active);
  void complete(Answer& answer, const Strand& strand);
  TokenAt token_at(const Strand& strand) const;
  std::string digest() const;
  void take_up(std::span<const std::byte> bytes);
  void take_up(Answer& answer, ByteReader& in) const;
  void take_up(Generation generation, ByteReader& in);
  void take_up_strands(ByteReader& in);
  void refuse(const std::string& reason, const std::string& text);
  void refuse_as_too_large(std::uint64_t n_bytes);

  const GenerationSetting& setting_;
  const Prompting& prompting_;
  StateKeeper& states_;
  StatePool& pool_;
  CorpusRecord record_;  // its text only where pieces are cut from it
  std::string obstacle_, obstacle_reason_;
  DocumentPrompts prompts_;  // none in pieces
  bool may_share_ = false;   // a trunk is read first
  bool shares_ = false;      // and it has not been let go
  bool trunk_begun_ = false;
  std::vector<Answer> answers_;
  std::list<ActiveStrand> strands_;
  CacheCounts counts_;
  std::uint64_t n_expected_ = 0;  // tokens that all strands take at most, about
  DocumentRecord result_;
};

}  // namespace tovamill
