// The inner loop of a worker: documents side by side through the model, a step at a time, until the
// source is dry.
#pragma once

#include <cstdint>
#include <functional>
#include <list>
#include <memory>
#include <vector>

#include "workers/document_stream.h"
#include "workers/loaded_model.h"
#include "workers/record_source.h"
#include "workers/run_journal.h"
#include "workers/score_run.h"

namespace tovamill {

class ScoreLoop {
 public:
  // `keep_going` is asked before each step. Bad records throw with `strict`, else they go to the
  // journal as failures.
  ScoreLoop(LoadedModel& model, const RunOptions& options, RecordSource& source,
            RunJournal& journal, std::function<bool()> keep_going);

  // Returns whether the source is dry (false: stopped). `report` is called after each step.
  bool run(const std::function<void(const RunProgress&)>& report);

  std::uint64_t n_documents() const { return n_documents_; }
  std::uint64_t n_failed() const { return n_failed_; }
  std::uint64_t n_tokens() const { return n_tokens_; }
  double seconds() const { return seconds_; }
  double seconds_computing() const { return seconds_computing_; }

 private:
  void fill();
  void admit(CorpusRecord record);
  void fail(const CorpusRecord& record);
  void step();
  void retire();
  RunProgress progress();

  LoadedModel& model_;
  const RunOptions& options_;
  RecordSource& source_;
  RunJournal& journal_;
  std::function<bool()> keep_going_;
  StreamSetting setting_;
  std::list<std::unique_ptr<DocumentStream>> streams_;
  std::vector<std::unique_ptr<StreamState>> idle_states_;
  bool dry_ = false;
  std::vector<StepBlock> blocks_;
  std::vector<DocumentStream*> owners_;
  std::vector<std::int32_t> ids_, targets_;
  std::uint64_t n_documents_ = 0, n_failed_ = 0, n_tokens_ = 0;
  double start_s_ = 0.0, seconds_ = 0.0, seconds_computing_ = 0.0;
  double rate_s_ = 0.0, rate_ = 0.0;
  std::uint64_t rate_tokens_ = 0;
  double first_fraction_ = -1.0;  // when this start began, after what earlier ones did
};

StreamSetting stream_setting(const LoadedModel& model, const RunOptions& options);

}  // namespace tovamill
