// The end of a run on rank 0: journals become results.h5, the other ranks are told to end, the last
// status is written.
#include <chrono>
#include <future>
#include <string>
#include <thread>

#include "io/files/failure.h"
#include "io/files/system_facts.h"
#include "kernels/types/error.h"
#include "pipeline/results/merge.h"
#include "pipeline/results/run_set.h"
#include "pipeline/results/stream_file.h"
#include "workers/documents/saved_states.h"
#include "workers/lease/run_journal.h"
#include "workers/run/coordinating_rank.h"
#include "workers/run/run_inputs.h"

namespace tovamill {
namespace {

// So long rank 0 waits for others to hear that they may end.
constexpr double kFarewellSeconds = 5.0;

}  // namespace

// While the journals become results.h5 the others stay, for MPI ends for all or for none.
CorpusSummary CoordinatingRank::merge() {
  status_->merging();
  std::future<CorpusSummary> merged = std::async(std::launch::async, [this] {
    const JournalIndex index = scan_journals(options_.out);
    CorpusSummary summary = merge_journals(options_.out, index, results_header(index));
    if (streams_results(options_)) reconcile_stream(options_.generation.stream_jsonl, index);
    return summary;
  });
  while (!is_ready(merged)) {
    const double now = now_s();
    poll(now);
    coordinator_.tick(now);
    std::this_thread::sleep_for(kPollPause);
  }
  const CorpusSummary summary = merged.get();
  SavedStates::remove_all(options_.out);
  return summary;
}

// Tells everybody who is alive to end.
void CoordinatingRank::end_all_ranks() {
  coordinator_.end();
  const double start = now_s();
  while (!coordinator_.everybody_was_told() && now_s() - start < kFarewellSeconds) {
    poll(now_s());
    coordinator_.tick(now_s());
    std::this_thread::sleep_for(kPollPause);
  }
  launch_.all_alive = !coordinator_.anybody_lost();
  thread_.reset();
}

void CoordinatingRank::throw_outcome() {
  const RunOutcome outcome = coordinator_.outcome();
  std::string message, state = "failed";
  auto code = static_cast<ExitCode>(coordinator_.exit_code());
  if (outcome == RunOutcome::failed) {
    message = coordinator_.failure();
  } else if (outcome == RunOutcome::stopped) {
    state = "stopped";
    code = ExitCode::stopped;
    message = "stopped by a signal: what is finished and what is in flight is saved in " +
              options_.out + "; run the same command again to continue";
  } else {
    state = "lost";
    code = ExitCode::stopped;
    std::string last;
    for (const Coordinator::Worker& w : coordinator_.workers()) {
      if (!w.note.empty()) last = w.note;
    }
    message = "every computing rank is lost (" + last +
              "): what was finished is saved; run the same command again to continue";
  }
  note_end(state, static_cast<int>(code), message);
  throw Error(code, message);
}

// The last status; the disk may be what failed, and then the first error is the one to tell.
void CoordinatingRank::note_end(const std::string& state, int exit_code,
                                const std::string& message) {
  if (!status_) return;
  try {
    status_->finish(state, exit_code, message);
  } catch (const Error&) {
  }
}

RunSummary CoordinatingRank::conclude() {
  ended_s_ = now_s();
  decide_start();
  while (preparation_.valid() && !is_ready(preparation_)) {
    poll(now_s());
    coordinator_.tick(now_s());
    std::this_thread::sleep_for(kPollPause);
  }
  if (status_ && begun_s_ > 0.0) status_->fill(progress(ended_s_), coordinator_, ended_s_);
  if (coordinator_.outcome() != RunOutcome::complete) {
    stops_digests_ = true;
    end_all_ranks();
    throw_outcome();
  }
  CorpusSummary corpus;
  try {
    while (digests_.valid() && !is_ready(digests_)) {
      poll(now_s());
      coordinator_.tick(now_s());
      std::this_thread::sleep_for(kPollPause);
    }
    if (digests_.valid()) digests_.get();
    if (const std::string changes = changes_since(prepared_->inputs.files); !changes.empty())
      observer_.note(changes);
    corpus = merge();
  } catch (...) {
    const Failure failure = failure_of(std::current_exception());
    end_all_ranks();
    note_end("failed", static_cast<int>(failure.code), failure.text);
    throw;
  }
  const WorkerCounters totals = coordinator_.totals();
  RunSummary summary = summary_of(corpus);
  const bool nothing_left = totals.n_documents + totals.n_failed == prepared_->n_documents_done &&
                            prepared_->n_documents_done > 0;
  summary.seconds = nothing_left ? 0.0 : ended_s_ - begun_s_;
  summary.tokens_per_second =
      summary.seconds > 0.0 ? static_cast<double>(totals.n_tokens) / summary.seconds : 0.0;
  summary.n_quarantined = coordinator_.n_quarantined();
  for (const Coordinator::Worker& w : coordinator_.workers())
    summary.n_ranks_lost += w.state == Coordinator::State::dead;
  try {
    check_bad_fraction(options_, corpus);
  } catch (const Error& e) {
    note_end("failed", static_cast<int>(e.code()), e.what());
    end_all_ranks();
    throw;
  }
  try {
    status_->finish("done", 0, "");
    SavedStates::remove_all(options_.out);  // of a rank that came back while all was merged
  } catch (const Error&) {
    end_all_ranks();
    throw;
  }
  end_all_ranks();
  return summary;
}

}  // namespace tovamill
