// Scoring: the blocks of as many documents as fill a step, each document a stream of its own.
#pragma once

#include <cstdint>
#include <deque>
#include <list>
#include <memory>
#include <vector>

#include "workers/documents/document_stream.h"
#include "workers/documents/document_work.h"
#include "workers/load/loaded_model.h"

namespace tovamill {

// Throws Error(configuration) where --bos cannot be had.
StreamSetting stream_setting(const LoadedModel& model, const RunOptions& options);

// On a CPU each core computes; beside a GPU they have time.
int n_tokenizer_threads(const RunOptions& options);

class ScoreWork final : public DocumentWork {
 public:
  // Both outlive the object.
  ScoreWork(LoadedModel& model, const RunOptions& options);
  // Of one setting of a sweep, with steps and states of its own: open(record, text) is to be
  // called.
  ScoreWork(LoadedModel& model, const RunOptions& options, StepRunner& runner, StateKeeper& states);

  std::size_t n_open() const override { return streams_.size(); }
  bool has_room() const override;
  std::unique_ptr<DocumentInFlight> open(CorpusRecord& record) override;
  // The same of a document whose text becomes `text`; null where memory has no room for it.
  std::unique_ptr<DocumentStream> open(const CorpusRecord& record,
                                       const std::shared_future<TextTokens>& text);
  std::size_t step() override;
  std::size_t drain() override;
  void close(std::unique_ptr<DocumentInFlight> document) override;

 private:
  // What a step in flight will give, and to whom.
  struct Step {
    std::vector<StepBlock> blocks;
    std::vector<DocumentStream*> owners;  // parallel to blocks
    std::size_t n_tokens = 0;
  };
  std::unique_ptr<StreamState> state_for_document();
  std::unique_ptr<DocumentStream> add(std::unique_ptr<DocumentStream> stream);
  std::int64_t rows_ready() const;
  bool wait_for_text();
  bool submit();
  std::size_t collect();

  LoadedModel& model_;
  StepRunner& runner_;
  StateKeeper& keeper_;
  const RunOptions& options_;
  StreamSetting setting_;
  TokenizerThreads tokenizer_;
  std::list<DocumentStream*> streams_;  // those left out of a step come first in the next
  std::vector<std::unique_ptr<StreamState>> idle_states_;
  std::deque<Step> in_flight_;  // the oldest first
  std::vector<std::int32_t> ids_, targets_;
};

}  // namespace tovamill
