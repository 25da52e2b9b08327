// One document on its way through the model: its tokens cut into chunks and blocks, and what is
// counted along the way.
#pragma once

#include <cstddef>
#include <cstdint>
#include <future>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "engine/model/step_runner.h"
#include "io/corpus/corpus.h"
#include "kernels/state_keeper.h"
#include "pipeline/run_directory/document_record.h"
#include "workers/documents/document_work.h"
#include "workers/documents/stream_analysis.h"
#include "workers/documents/tokenizer_threads.h"

namespace tovamill {

// What all documents of a run have in common.
struct StreamSetting {
  std::int32_t n_layers = 0;
  std::int32_t n_eviction_groups = 1;
  std::int32_t vocab_size = 0;  // of the model: ids beyond it cannot be looked up
  std::int32_t block = 256;     // tokens of a step; a document is cut at its multiples
  std::int32_t chunk_tokens =
      0;  // the state restarts every so many tokens, a BOS included; 0 never
  std::vector<TokenId> leading, trailing;  // before each chunk, behind the document
  bool keep_tokens = false;                // --token-nll
  bool keep_eviction_steps = false;        // --trace-state
  AnalysisSetting analysis;                // --nll-by-position, --analyze
  std::uint8_t positions = 0;              // for the record
  std::int32_t clip_distance = 0;
  std::uint64_t seed = 0;  // of random evictions
};

class DocumentStream final : public SweptDocument {
 public:
  // `text` is what becomes of the record's text.
  DocumentStream(const StreamSetting& setting, StateKeeper& states, CorpusRecord record,
                 std::shared_future<TextTokens> text, std::unique_ptr<StreamState> state);

  // Whether the text's tokens are there; with `waits` they are. Until then nothing is known of it:
  // it is not finished, and no block can be planned. Throws what Tokenizer::encode does.
  bool is_ready(bool waits);

  bool finished() const override { return is_read_ && next_ >= n_tokens(); }
  std::uint64_t n_tokens() const { return tokens_.size(); }
  std::uint64_t n_done() const { return next_; }
  // Tokens of the next block; 0 where none can be planned before a step has taken those that are.
  std::int32_t n_next() const;
  std::uint64_t n_bytes() const override { return record_.n_bytes; }
  double fraction_done() const override {
    return tokens_.empty() ? 0.0 : static_cast<double>(next_) / static_cast<double>(tokens_.size());
  }

  // Plans the next block: appends its ids and targets, and says where it lies. Not to be called
  // where n_next() is 0.
  StepBlock next_block(std::int32_t first_row, std::vector<std::int32_t>& ids,
                       std::vector<std::int32_t>& targets);
  // Records the results of the oldest planned block that has none yet, the step's `index`-th.
  void advance(const StepOutput& output, const StepBlock& block, std::size_t index);

  // About state_bytes() and what --token-nll and --trace-state keep. Every planned block has its
  // results.
  std::vector<std::byte> save() const override;
  bool restore(std::span<const std::byte> bytes) override;

  void wait_for_text() override { is_ready(true); }
  void end_with(DocumentRecord record) override;
  // The finished document, and its state for the next one.
  DocumentRecord finish(int rank) override;
  const std::string& rejection() const override { return rejection_; }
  std::unique_ptr<StreamState> release_state() { return std::move(state_); }
  std::string digest() const override;

 private:
  std::size_t chunk_end(std::size_t chunk_begin) const;
  void end_chunk(std::size_t chunk_begin, std::size_t chunk_end);
  void count_evictions(std::size_t layer, std::span<const Eviction> evictions);
  DocumentRecord failed(const std::string& reason, const std::string& text, int rank) const;
  void read(const TextTokens& text);
  void begin_analysis(const TextTokens& text);
  void read_saved(std::span<const std::byte> bytes);
  void trace(std::size_t layer, std::size_t token, std::int32_t step);

  const StreamSetting& setting_;
  StateKeeper& states_;
  CorpusRecord record_;  // without its text
  std::unique_ptr<StreamState> state_;
  std::shared_future<TextTokens> text_;  // of all settings of a sweep
  bool is_read_ = false;                 // text_ has become tokens_
  std::vector<TokenId> tokens_;          // of all chunks, a BOS before each where there is one
  std::size_t next_ = 0;                 // of tokens_, that no step has taken yet
  std::size_t planned_ = 0;              // of tokens_, that no block has been planned for
  std::size_t chunk_begin_ = 0;
  DocumentRecord result_;
  StreamAnalysis analysis_;              // counts in result_.analysis
  std::vector<std::uint64_t> lifetime_;  // (n_tokens) steps lived, summed over layers and groups
  std::vector<std::uint16_t>
      n_dropped_;  // (n_layers, n_tokens) groups that have dropped it, with keep_eviction_steps
  std::vector<std::int32_t> first_eviction_;  // (n_layers, n_eviction_groups) step in the chunk, -1
                                              // alive: of the chunk's first token
  std::optional<std::size_t> not_finite_;     // the first token whose NLL is no number
  std::string rejection_;
  bool has_ended_ = false;  // result_ is complete
};

}  // namespace tovamill
