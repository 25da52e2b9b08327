// Rank 0 of a run: prepares it, coordinates, watches over the others, merges; and computes as well
// unless it is dedicated.
#pragma once

#include <atomic>
#include <chrono>
#include <future>
#include <memory>
#include <nlohmann/json.hpp>
#include <optional>
#include <vector>

#include "pipeline/distributed/process_watch.h"
#include "pipeline/results/summary.h"
#include "workers/run/corpus_run.h"
#include "workers/run/preparation.h"
#include "workers/run/rank_thread.h"
#include "workers/run/run_launch.h"
#include "workers/run/run_status.h"

namespace tovamill {

template <class Result>
bool is_ready(const std::future<Result>& future) {
  return future.valid() && future.wait_for(std::chrono::seconds(0)) == std::future_status::ready;
}

class CoordinatingRank {
 public:
  // Opens the model for its identity and, where this rank computes, for its thread.
  CoordinatingRank(const RunOptions& options, RunLaunch& launch, RunObserver& observer);
  ~CoordinatingRank();

  // Until the results are written. Throws Error as jobs/README.md, "Exit codes", says; whoever is
  // alive has been told to end by then.
  RunSummary run();

 private:
  static constexpr auto kPollPause = std::chrono::milliseconds(2);
  struct Review {
    int rank;
    std::future<JournalFindings> findings;
  };

  void iterate();
  void poll(double now);
  void start_preparation();
  void decide_start();
  void prepare(double now);
  void review(int rank, std::vector<FileRange> ranges);
  void collect_reviews();
  void announce();
  void show_lost();
  void show(double now);
  RunProgress progress(double now) const;
  CorpusSummary merge();
  void record_inputs();
  void end_all_ranks();
  RunSummary conclude();
  [[noreturn]] void throw_outcome();
  void fail_by(std::exception_ptr error);
  void note_end(const std::string& state, int exit_code, const std::string& message);

  const RunOptions& options_;
  RunLaunch& launch_;
  RunObserver& observer_;
  nlohmann::json fingerprint_;
  std::string model_description_, tokenizer_description_, dtype_;
  std::unique_ptr<RunLock> lock_;
  std::unique_ptr<RunStatus> status_;
  std::promise<bool> can_start_;
  bool is_start_known_ = false;
  std::future<std::optional<Preparation>> preparation_;
  std::optional<Preparation> prepared_;
  std::atomic<bool> stops_digests_ = false;
  std::future<void> digests_;  // of the corpus files, on their way into the run directory
  ProcessWatch watch_;
  Coordinator coordinator_;
  std::vector<Review> reviews_;  // they read the coordinator's files
  std::optional<RankThread> thread_;
  bool is_announced_ = false;
  double begun_s_ = 0.0, shown_s_ = 0.0, ended_s_ = 0.0;
  std::uint64_t shown_tokens_ = 0;
  std::uint64_t first_left_ = 0;  // bytes that were to do when the run began
};

}  // namespace tovamill
