// Scoring: the blocks of as many documents as fill a step, each document a stream of its own.
#pragma once

#include <cstdint>
#include <list>
#include <memory>
#include <vector>

#include "workers/document_stream.h"
#include "workers/document_work.h"
#include "workers/loaded_model.h"

namespace tovamill {

// Throws Error(configuration) where --bos cannot be had.
StreamSetting stream_setting(const LoadedModel& model, const RunOptions& options);

class ScoreWork final : public DocumentWork {
 public:
  // Both outlive the object.
  ScoreWork(LoadedModel& model, const RunOptions& options);

  std::size_t n_open() const override { return streams_.size(); }
  bool has_room() const override;
  std::unique_ptr<DocumentUnderWay> open(CorpusRecord& record) override;
  std::size_t step() override;
  void close(std::unique_ptr<DocumentUnderWay> document) override;

 private:
  std::unique_ptr<StreamState> take_state();
  std::int32_t rows_ready() const;

  LoadedModel& model_;
  const RunOptions& options_;
  StreamSetting setting_;
  std::list<DocumentStream*> streams_;  // those left out of a step come first in the next
  std::vector<std::unique_ptr<StreamState>> idle_states_;
  std::vector<StepBlock> blocks_;
  std::vector<DocumentStream*> owners_;
  std::vector<std::int32_t> ids_, targets_;
};

}  // namespace tovamill
