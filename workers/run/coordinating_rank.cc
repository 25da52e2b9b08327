#include "workers/run/coordinating_rank.h"

#include <algorithm>
#include <chrono>
#include <cstdint>
#include <limits>
#include <thread>

#include "io/files/system_facts.h"
#include "kernels/cpu/cpu_info.h"
#include "kernels/types/error.h"
#include "pipeline/results/merge.h"
#include "pipeline/results/run_set.h"
#include "pipeline/results/stream_file.h"
#include "workers/documents/saved_states.h"
#include "workers/lease/run_journal.h"
#include "workers/load/gpu_places.h"
#include "workers/load/memory_plan.h"
#include "workers/options/option_text.h"
#include "workers/plan/useful_streams.h"
#include "workers/run/fingerprint.h"

namespace tovamill {
namespace {

constexpr auto kPause = std::chrono::milliseconds(2);  // between looks at what has arrived
constexpr double kShowSeconds = 0.1;
// So long rank 0 waits for others to hear that they may end.
constexpr double kFarewellSeconds = 5.0;

CoordinatorOptions coordinator_options(const RunOptions& options, const RunLaunch& launch) {
  CoordinatorOptions o;
  o.silence_s = options.silence_seconds;
  o.first_worker = first_worker(options, launch);
  for (const RankInfo& r : launch.ranks) o.hosts.push_back(r.host_identity);
  o.n_stages = options.stages;
  return o;
}

template <class Result>
bool is_ready(const std::future<Result>& future) {
  return future.valid() && future.wait_for(std::chrono::seconds(0)) == std::future_status::ready;
}

}  // namespace

CoordinatingRank::CoordinatingRank(const RunOptions& options, RunLaunch& launch,
                                   RunObserver& observer)
    : options_(options),
      launch_(launch),
      observer_(observer),
      coordinator_(
          coordinator_options(options, launch), *launch.channel,
          [this](int rank, std::vector<FileRange> ranges) { review(rank, std::move(ranges)); },
          now_s()) {
  for (const RankInfo& r : launch.ranks) {
    if (r.rank != 0 && r.host_identity == launch.ranks.front().host_identity)
      watch_.watch(r.rank, r.pid);
  }
}

// The preparation, for which its future waits, must not wait for a word that will never come.
CoordinatingRank::~CoordinatingRank() {
  if (!is_start_known_) can_start_.set_value(false);
}

RunSummary CoordinatingRank::run() {
  try {
    ModelMetadata metadata =
        launch_.metadata ? std::move(*launch_.metadata) : open_model(options_.model);
    launch_.metadata.reset();
    if (device_of(options_) == DeviceKind::cuda)
      check_gpus(launch_.ranks, first_worker(options_, launch_), options_.ranks_per_gpu);
    // Whether the weights fit a GPU shows where it is taken.
    const std::uint64_t available = device_of(options_) == DeviceKind::cuda
                                        ? std::numeric_limits<std::uint64_t>::max()
                                        : cpu_info().memory_available_bytes;
    dtype_ = name_of(choose_dtype(options_, metadata.config.shape, available));
    print_ = fingerprint(options_, *metadata.files, metadata.config, *metadata.tokenizer, dtype_);
    tokenizer_description_ = metadata.tokenizer->description();
    model_description_ = metadata.files->path();
    coordinator_.set_useful_streams(useful_streams(options_));
    coordinator_.set_dtype(dtype_);
    start_preparation();
    if (coordinator_.is_worker(0)) {
      launch_.metadata = std::move(metadata);
      thread_.emplace(options_, launch_, now_s());
    }
  } catch (const std::exception&) {
    fail_by(std::current_exception());
    if (!thread_) coordinator_.ended(0, now_s());
  }
  while (!coordinator_.everybody_left() || !looks_.empty()) iterate();
  return conclude();
}

void CoordinatingRank::start_preparation() {
  preparation_ =
      std::async(std::launch::async, [this, can_start = can_start_.get_future()]() mutable {
        const PreparationEvents events{
            .lock_wait_s = launch_.lock_wait_s,
            .on_locked =
                [this] { status_ = std::make_unique<RunStatus>(options_.out, launch_.launch_id); },
            .may_overwrite = [&] { return can_start.get(); }};
        return prepare_run(options_, print_, events, lock_);
      });
}

// The run can start once this rank's own model is loaded.
void CoordinatingRank::tell_whether_it_can_start() {
  if (is_start_known_) return;
  const bool fails = coordinator_.outcome() != RunOutcome::running;
  if (!fails && thread_ && !thread_->loaded()) return;
  is_start_known_ = true;
  can_start_.set_value(!fails);
}

void CoordinatingRank::iterate() {
  const double now = now_s();
  poll(now);
  tell_whether_it_can_start();
  prepare(now);
  collect_reviews();
  if (StopSignals::requested()) coordinator_.request_stop();
  coordinator_.tick(now);
  announce();
  show_lost();
  show(now);
  if (thread_) {
    thread_->pause(std::chrono::duration<double>(kPause).count());
  } else {
    std::this_thread::sleep_for(kPause);
  }
}

// Everything that arrives, to whom it is for: coordinator and worker of this rank have one channel.
void CoordinatingRank::poll(double now) {
  while (const std::optional<Envelope> e = launch_.channel->receive()) {
    try {
      if (is_for_coordinator(kind_of(e->message))) {
        coordinator_.receive(*e, now);
      } else if (thread_) {
        thread_->receive(e->message, now);
      }
    } catch (const BadData&) {
      // As if lost: what matters is said again, and who is never understood counts as silent.
    }
  }
  if (thread_) thread_->tick(now);
  for (const int rank : watch_.ended()) coordinator_.ended(rank, now);
}

void CoordinatingRank::prepare(double now) {
  if (!is_ready(preparation_)) return;
  try {
    prepared_ = preparation_.get();
    if (!prepared_) return;
    status_->set_corpus(*prepared_);
    begun_s_ = now;
    coordinator_.begin(std::move(prepared_->work), now);
    first_left_ = coordinator_.bytes_left();
  } catch (const std::exception&) {
    fail_by(std::current_exception());
  }
}

// Ends the run for everybody.
void CoordinatingRank::fail_by(std::exception_ptr error) {
  try {
    std::rethrow_exception(error);
  } catch (const Error& e) {
    coordinator_.fail(static_cast<int>(e.code()), e.what());
  } catch (const std::bad_alloc&) {
    coordinator_.fail(static_cast<int>(ExitCode::internal), "rank 0 has run out of memory");
  } catch (const std::exception& e) {
    coordinator_.fail(static_cast<int>(ExitCode::internal),
                      std::string("internal error: ") + e.what());
  }
}

void CoordinatingRank::review(int rank, std::vector<FileRange> ranges) {
  const std::string path = journal_path(options_.out, rank, coordinator_.launch());
  looks_.push_back({rank, std::async(std::launch::async, [this, path, p = std::move(ranges)] {
                      return look_into_journal(path, coordinator_.files(), p);
                    })});
}

void CoordinatingRank::collect_reviews() {
  for (std::size_t i = 0; i < looks_.size();) {
    if (!is_ready(looks_[i].findings)) {
      ++i;
      continue;
    }
    Look look = std::move(looks_[i]);
    looks_.erase(looks_.begin() + static_cast<std::ptrdiff_t>(i));
    try {
      coordinator_.reviewed(look.rank, look.findings.get());
    } catch (const std::exception&) {
      fail_by(std::current_exception());
      coordinator_.reviewed(look.rank, {});
    }
  }
}

// The first lines, once everything that they tell is known.
void CoordinatingRank::announce() {
  if (is_announced_ || !prepared_) return;
  const std::optional<LoadedInfo> loaded = thread_ ? thread_->loaded() : std::nullopt;
  if ((thread_ && !loaded) || !coordinator_.anybody_works()) return;
  is_announced_ = true;
  RunInfo info;
  info.n_files = prepared_->n_files;
  info.n_bytes = prepared_->n_bytes;
  info.left_out = prepared_->left_out;
  info.n_documents_done = prepared_->n_documents_done;
  info.n_ranks = static_cast<int>(launch_.ranks.size());
  info.n_hosts = launch_.ranks.front().n_hosts;
  info.model_description = model_description_;
  info.tokenizer_description = tokenizer_description_;
  info.device = "none: rank 0 only coordinates";
  info.dtype = dtype_;
  if (loaded) {
    info.model_description = loaded->model_description;
    info.device = loaded->device;
    info.sharing_note = loaded->sharing_note;
    info.work = loaded->work;
    info.stages = loaded->stages;
    info.threads = loaded->n_threads;
    info.streams = loaded->n_streams;
    info.wanted_streams = loaded->n_wanted_streams;
    info.weight_bytes = loaded->weight_bytes;
    info.state_bytes = loaded->state_bytes;
    info.workspace_bytes = loaded->workspace_bytes;
  }
  observer_.started(info);
}

RunProgress CoordinatingRank::progress(double now) const {
  RunProgress p;
  const WorkerCounters totals = coordinator_.totals();
  p.n_documents = totals.n_documents;
  p.n_failed = totals.n_failed;
  p.n_tokens = totals.n_tokens;
  p.n_ranks = coordinator_.n_alive();
  p.seconds = now - begun_s_;
  for (const Coordinator::Worker& w : coordinator_.workers())
    p.tokens_per_second += w.tokens_per_second;
  if (p.tokens_per_second == 0.0 && p.seconds > 0.0)
    p.tokens_per_second = static_cast<double>(p.n_tokens) / p.seconds;
  const auto total = static_cast<double>(std::max<std::uint64_t>(1, coordinator_.bytes_total()));
  const auto left = static_cast<double>(coordinator_.bytes_left());
  p.fraction = std::clamp(1.0 - left / total, 0.0, 1.0);
  const double gained = static_cast<double>(first_left_) - left;
  if (gained > 0.0) p.seconds_left = left / gained * p.seconds;
  return p;
}

// Who was lost, unless that is the end of the run, which says so itself.
void CoordinatingRank::show_lost() {
  for (const int rank : coordinator_.take_lost()) {
    if (coordinator_.outcome() != RunOutcome::running) continue;
    const Coordinator::Worker& w = coordinator_.workers()[static_cast<std::size_t>(rank)];
    const std::string host = w.registration.host.empty() ? "" : " on " + w.registration.host;
    observer_.note("rank " + std::to_string(rank) + host + " is lost: " + w.note +
                   "; others do its work");
  }
}

void CoordinatingRank::show(double now) {
  if (!is_announced_) return;
  const std::uint64_t n_tokens = coordinator_.totals().n_tokens;
  if (now - shown_s_ < kShowSeconds && n_tokens == shown_tokens_) return;
  shown_s_ = now;
  shown_tokens_ = n_tokens;
  const RunProgress p = progress(now);
  status_->update(p, coordinator_, now);
  observer_.progress(p);
}

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
    std::this_thread::sleep_for(kPause);
  }
  const CorpusSummary summary = merged.get();
  SavedStates::remove_all(options_.out);
  return summary;
}

// Tells everybody who is alive to end.
void CoordinatingRank::send_home() {
  coordinator_.end();
  const double start = now_s();
  while (!coordinator_.everybody_was_told() && now_s() - start < kFarewellSeconds) {
    poll(now_s());
    coordinator_.tick(now_s());
    std::this_thread::sleep_for(kPause);
  }
  launch_.all_alive = !coordinator_.anybody_lost();
  thread_.reset();
}

void CoordinatingRank::give_up() {
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
  tell_whether_it_can_start();
  while (preparation_.valid() && !is_ready(preparation_)) {
    poll(now_s());
    coordinator_.tick(now_s());
    std::this_thread::sleep_for(kPause);
  }
  if (status_ && begun_s_ > 0.0) status_->fill(progress(ended_s_), coordinator_, ended_s_);
  if (coordinator_.outcome() != RunOutcome::complete) {
    send_home();
    give_up();
  }
  CorpusSummary corpus;
  try {
    corpus = merge();
  } catch (const Error& e) {
    send_home();
    note_end("failed", static_cast<int>(e.code()), e.what());
    throw;
  } catch (const std::exception& e) {
    send_home();
    note_end("failed", static_cast<int>(ExitCode::internal), e.what());
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
    send_home();
    throw;
  }
  try {
    status_->finish("done", 0, "");
    SavedStates::remove_all(options_.out);  // of a rank that came back while all was merged
  } catch (const Error&) {
    send_home();
    throw;
  }
  send_home();
  return summary;
}

}  // namespace tovamill
