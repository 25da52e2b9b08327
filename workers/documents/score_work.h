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

class ScoreWork final : public DocumentWork {
 public:
  // Both outlive the object.
  ScoreWork(LoadedModel& model, const RunOptions& options);

  std::size_t n_open() const override { return streams_.size(); }
  bool has_room() const override;
  std::unique_ptr<DocumentInFlight> open(CorpusRecord& record) override;
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
  std::int64_t rows_ready() const;
  bool wait_for_text();
  bool submit();
  std::size_t collect();

  LoadedModel& model_;
  const RunOptions& options_;
  StreamSetting setting_;
  TokenizerThreads tokenizer_;
  std::list<DocumentStream*> streams_;  // those left out of a step come first in the next
  std::vector<std::unique_ptr<StreamState>> idle_states_;
  std::deque<Step> in_flight_;  // the oldest first
  std::vector<std::int32_t> ids_, targets_;
};

}  // namespace tovamill
