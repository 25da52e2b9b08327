// A document for which texts are written: an answer to each of its questions (or one), each so many
// times as samples are wanted.
//
// In one stream (--strategy stream) what all prompts have in common, the document above all, is
// read once; each answer goes on from a copy of that state. In chunks (--strategy chunk) each chunk
// of the document is answered on its own, then the answers one after another take the document's
// place, in fewer chunks each time, until one is left.
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
#include "workers/documents/sequence.h"

namespace tovamill {

class ByteReader;

// What the documents of a run have in common.
struct GenerationSetting {
  SequenceSetting sequence;
  std::int32_t samples = 1;
  std::int32_t chunk_tokens = 0;  // --strategy chunk; 0: in one stream
  std::int32_t cache_size = 0;    // 0: unbounded
  bool pins_instruction = false;
  bool stems = false;
  std::uint8_t positions = 0;  // for the record
  std::int32_t clip_distance = 0;
};

class GenerationDocument final : public SweptDocument {
 public:
  struct ActiveSequence {
    Sequence sequence;
    bool is_shared_prefix = false;      // reads what all answers share
    std::size_t answer = 0, chunk = 0;  // that it writes, unless it is the shared prefix
    bool is_in_flight = false;          // in a step that is: it stays where it is until that ends
  };

  GenerationDocument(const GenerationSetting& setting, const Prompting& prompting,
                     StateKeeper& states, StatePool& pool, CorpusRecord record);

  bool finished() const override;
  const std::string& rejection() const override { return rejection_; }
  std::uint64_t n_bytes() const override { return result_.n_bytes; }
  double fraction_done() const override;
  std::vector<std::byte> save() const override;
  bool restore(std::span<const std::byte> bytes) override;
  DocumentRecord finish(int rank) override;
  std::string digest() const override;
  void end_with(DocumentRecord record) override;

  // Whether several answers wait for one shared prefix: it must be possible to hold two states.
  bool shares() const { return shares_; }
  // Bytes of all states that it must be possible to hold to come to an answer.
  std::uint64_t least_bytes() const;
  // Bytes of the state that its next sequence waits for; nothing where none waits.
  std::optional<std::uint64_t> wants_state() const;
  // Whether that sequence goes on from a saved state.
  bool waits_with_state() const;
  // Begins that sequence, or goes on with it; all begins anew where its saved state is damaged, so
  // none may be in flight where one waits with it.
  void begin_next(StatePool::StateHandle state);
  // Lets the shared prefix go: the answers that are left read all of their prompts themselves.
  void drop_shared_prefix();
  std::list<ActiveSequence>& sequences() { return sequences_; }
  // The step whose `index`-th block was `n` tokens of the sequence has ended; before the choice of
  // the next token.
  void advance(ActiveSequence& active, std::int32_t n, const StepOutput& output, std::size_t index);
  // Records the sequences that are done and removes them.
  void drain();
  // Begins the last answer with the shared prefix's own state; false where it is not the time.
  bool continue_shared_prefix();

 private:
  struct DocumentChunk {
    std::shared_ptr<const std::string> text;  // of the document; null in one stream
    std::optional<std::string> answer;
    bool is_begun = false;
  };
  struct Answer {
    std::size_t question = 0;
    std::uint32_t sample = 0;
    std::uint32_t level = 0;      // how often answers have taken the document's place
    std::string source;           // what the chunks are of, from level 1 on
    std::size_t most_chunks = 0;  // it is cut into; 0: any number
    std::vector<DocumentChunk> chunks;
    std::uint64_t n_prompt_tokens = 0;  // of all its prompts
    std::optional<Generation> generation;
  };
  struct Task {
    std::size_t answer, chunk;
  };

  void make_prompts();
  void check_pins();
  void check_memory();
  void begin_anew();
  std::vector<DocumentChunk> cut(const std::string& text, std::size_t most) const;
  void take_place(Answer& answer, std::string source, std::size_t most) const;
  std::uint64_t shared_prefix_bytes() const;
  std::uint64_t most_task_bytes() const;
  std::optional<Task> next_task() const;
  std::uint64_t task_bytes(const Task& task) const;
  std::size_t n_waiting() const;
  const std::string* question_of(const Answer& answer) const;
  SequencePlan shared_prefix_plan() const;
  SequencePlan plan_of(const Task& task) const;
  std::uint64_t random_text(const Task& task) const;
  std::uint64_t eviction_key(const Task& task) const;
  ActiveSequence& begin(const Task& task);
  ActiveSequence* shared_prefix();
  const ActiveSequence* shared_prefix() const;
  void record(ActiveSequence& active);
  void complete(Answer& answer, const Sequence& sequence);
  TokenAt token_at(const Sequence& sequence) const;
  void read_saved(std::span<const std::byte> bytes);
  void restore_answer(Answer& answer, ByteReader& in) const;
  void restore_generation(Generation generation, ByteReader& in);
  void restore_sequences(ByteReader& in);
  void refuse(const std::string& reason, const std::string& text);
  void refuse_as_too_large(std::uint64_t n_bytes);

  const GenerationSetting& setting_;
  const Prompting& prompting_;
  StateKeeper& states_;
  StatePool& pool_;
  CorpusRecord record_;  // its text only where chunks are cut from it
  std::string rejection_, rejection_reason_;
  DocumentPrompts prompts_;  // none in chunks
  bool may_share_ = false;   // a shared prefix is read first
  bool shares_ = false;      // and it has not been let go
  bool shared_prefix_begun_ = false;
  std::vector<Answer> answers_;
  std::list<ActiveSequence> sequences_;
  CacheCounts counts_;
  std::uint64_t n_expected_ = 0;  // tokens that all sequences take at most, about
  DocumentRecord result_;
  bool has_ended_ = false;  // result_ is complete
};

}  // namespace tovamill
