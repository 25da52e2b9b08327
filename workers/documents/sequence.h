// One way through the model: tokens that are read, then, unless it only reads, tokens that are
// written one after another. A document has one sequence for each answer, and one before them for
// what all its answers read first.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "engine/prompt/generated_text.h"
#include "engine/sampling/sampling.h"
#include "kernels/state_keeper.h"
#include "pipeline/run_directory/document_record.h"
#include "workers/documents/cache_counts.h"
#include "workers/documents/state_pool.h"

namespace tovamill {

// What the sequences of a run have in common.
struct SequenceSetting {
  const Tokenizer* tokenizer = nullptr;
  std::vector<std::string> stop;
  std::vector<TokenId> end_ids;            // ascending
  std::optional<AnswerChannels> channels;  // of answers to prompts that end in the head of one
  SamplingOptions sampling;
  std::int32_t vocab_size = 0;
  std::int32_t n_layers = 0, n_eviction_groups = 1;
  std::int32_t block = 256;  // tokens of a step while reading; cut at its multiples
  std::int32_t max_new_tokens = 256, min_new_tokens = 0;
  bool keeps_prompt = false;  // --prefill full
};

// What a sequence reads and what for.
struct SequencePlan {
  std::shared_ptr<const std::vector<TokenId>> shared;  // read by all sequences of the document
  std::vector<TokenId> own;                            // read after it
  std::int32_t pin = 0;                                // tokens that never leave
  std::uint64_t random_text = 0;                       // RandomPlace::text
  std::uint64_t random_key = 0;                        // StepBlock::random_key
  bool prefill_only = false;
};

// Most bytes of the state of a sequence that reads `n_prompt` tokens.
std::uint64_t sequence_bytes(const SequenceSetting& setting, const StatePool& pool,
                             std::size_t n_prompt, bool prefill_only);

class Sequence {
 public:
  Sequence(const SequenceSetting& setting, SequencePlan plan);

  // ---- where it stands
  std::size_t n_prompt() const { return n_shared_ + plan_.own.size(); }
  std::size_t n_taken() const { return n_taken_; }  // by steps
  std::size_t n_written() const { return text_.ids().size(); }
  bool is_prefilling() const { return n_taken_ < n_prompt(); }
  bool is_done() const { return done_; }
  bool failed() const { return failed_; }  // the model gave no finite logit
  FinishReason finish_reason() const { return reason_; }
  const std::vector<TokenId>& ids() const { return text_.ids(); }
  std::string text() const { return text_.text(); }
  TokenId token(std::size_t position) const;
  std::uint64_t state_bytes(const StatePool& pool) const {
    return sequence_bytes(setting_, pool, n_prompt(), plan_.prefill_only);
  }

  // ---- its state
  bool has_state() const { return static_cast<bool>(state_); }
  const StreamState& state() const { return *state_.get(); }
  void set_state(StatePool::StateHandle state) { state_ = std::move(state); }
  StatePool::StateHandle release_state() { return std::move(state_); }
  // Makes room for all that the state will hold.
  void reserve(StateKeeper& states);
  // Goes on where `other`, which has read what is shared, stands; its state is a copy.
  void branch_from(const Sequence& other, StateKeeper& states);
  // The same, where it takes the other's state itself.
  void adopt_state_of(Sequence& other);

  // ---- steps
  std::int32_t n_next() const;  // tokens of the next block; 0 when done
  bool samples_next() const;    // whether the logits behind the next block are wanted
  StepBlock next_block(std::int32_t first_row, std::vector<std::int32_t>& ids) const;
  // The step with the block of `n` tokens has ended.
  void advance(std::int32_t n);
  // Whether the next token is the one of the highest logit, whatever else is known.
  bool takes_argmax(const Sampler& sampler) const {
    return sampler.takes_argmax() &&
           n_written() >= static_cast<std::size_t>(setting_.min_new_tokens);
  }
  // The next token, after which the sequence is done or has another block; -1 where no logit was a
  // number.
  void append(TokenId id);
  // The same from the logits behind the last block; they are overwritten.
  void choose(std::span<float> logits, Sampler& sampler);

  FirstEvictions& first_evictions() { return first_evictions_; }
  const FirstEvictions& first_evictions() const { return first_evictions_; }

  // ---- between runs
  // Where it stands, without its prompt, and its state.
  void save(const StateKeeper& states, std::vector<std::byte>& out) const;
  // Throws BadData where the bytes are not of this sequence. The state is kept as bytes until there
  // is room for it.
  void restore(std::span<const std::byte> bytes, const std::string& where);
  bool waits_with_state() const { return !saved_state_.empty(); }
  void load_state(StateKeeper& states);  // after set_state

 private:
  void write(TokenId id);

  const SequenceSetting& setting_;
  SequencePlan plan_;
  std::size_t n_shared_;
  std::size_t n_taken_ = 0;
  GeneratedText text_;
  TokenSet seen_;
  bool done_ = false, failed_ = false;
  FinishReason reason_ = FinishReason::length;
  FirstEvictions first_evictions_;
  StatePool::StateHandle state_;
  std::vector<std::byte> saved_state_;
};

}  // namespace tovamill
