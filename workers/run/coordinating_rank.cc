#include "workers/run/coordinating_rank.h"

#include <chrono>
#include <cstdint>
#include <limits>
#include <system_error>
#include <thread>

#include "io/files/failure.h"
#include "io/files/system_facts.h"
#include "kernels/cpu/cpu_info.h"
#include "kernels/types/error.h"
#include "pipeline/run_directory/run_directory.h"
#include "workers/lease/run_journal.h"
#include "workers/load/choose_dtype.h"
#include "workers/load/gpu_places.h"
#include "workers/load/loaded_model.h"
#include "workers/load/memory_plan.h"
#include "workers/options/option_values.h"
#include "workers/plan/useful_streams.h"
#include "workers/run/fingerprint.h"
#include "workers/run/run_inputs.h"

namespace tovamill {
namespace {

CoordinatorOptions coordinator_options(const RunOptions& options, const RunLaunch& launch) {
  CoordinatorOptions o;
  o.silence_s = options.silence_seconds;
  o.first_worker = first_worker(options, launch);
  for (const RankInfo& r : launch.ranks) o.hosts.push_back(r.host_identity);
  o.n_stages = options.stages;
  return o;
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
  stops_digests_ = true;
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
    fingerprint_ =
        fingerprint(options_, *metadata.files, metadata.config, *metadata.tokenizer, dtype_);
    tokenizer_description_ = metadata.tokenizer->description();
    fit_config(options_, metadata.config);
    model_description_ =
        metadata.files->path() + ": " + describe_model(*metadata.files, metadata.config);
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
  while (!coordinator_.everybody_left() || !reviews_.empty()) iterate();
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
        return prepare_run(options_, fingerprint_, events, lock_);
      });
}

// The run can start once this rank's own model is loaded.
void CoordinatingRank::decide_start() {
  if (is_start_known_) return;
  const bool fails = coordinator_.outcome() != RunOutcome::running;
  if (!fails && thread_ && !thread_->loaded()) return;
  is_start_known_ = true;
  can_start_.set_value(!fails);
}

void CoordinatingRank::iterate() {
  const double now = now_s();
  poll(now);
  decide_start();
  prepare(now);
  collect_reviews();
  if (StopSignals::requested()) coordinator_.request_stop();
  coordinator_.tick(now);
  announce();
  show_lost();
  show(now);
  if (thread_) {
    thread_->pause(std::chrono::duration<double>(kPollPause).count());
  } else {
    std::this_thread::sleep_for(kPollPause);
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
    record_inputs();
    begun_s_ = now;
    coordinator_.begin(std::move(prepared_->work), now);
    first_left_ = coordinator_.bytes_left();
  } catch (const std::exception&) {
    fail_by(std::current_exception());
  }
}

// While the ranks compute, in the background: digests decide where a later start finds other times.
void CoordinatingRank::record_inputs() {
  try {
    digests_ = std::async(std::launch::async, [this] {
      record_digests(options_.out, prepared_->inputs, stops_digests_);
    });
  } catch (const std::system_error&) {  // no thread is to be had: size and times decide alone
  }
}

// Ends the run for everybody.
void CoordinatingRank::fail_by(std::exception_ptr error) {
  const Failure failure = failure_of(error);
  coordinator_.fail(static_cast<int>(failure.code), failure.text);
}

void CoordinatingRank::review(int rank, std::vector<FileRange> ranges) {
  const std::string path = journal_path(options_.out, rank, coordinator_.launch());
  reviews_.push_back({rank, std::async(std::launch::async, [this, path, p = std::move(ranges)] {
                        return review_journal(path, coordinator_.files(), p);
                      })});
}

void CoordinatingRank::collect_reviews() {
  for (std::size_t i = 0; i < reviews_.size();) {
    if (!is_ready(reviews_[i].findings)) {
      ++i;
      continue;
    }
    Review review = std::move(reviews_[i]);
    reviews_.erase(reviews_.begin() + static_cast<std::ptrdiff_t>(i));
    try {
      coordinator_.reviewed(review.rank, review.findings.get());
    } catch (const std::exception&) {
      fail_by(std::current_exception());
      coordinator_.reviewed(review.rank, {});
    }
  }
}

}  // namespace tovamill
