#include "workers/run/rank_thread.h"

#include <algorithm>
#include <chrono>

#include "io/files/failure.h"
#include "kernels/device_failed.h"
#include "kernels/types/error.h"
#include "workers/lease/run_journal.h"
#include "workers/load/gpu_places.h"

namespace tovamill {
namespace {

constexpr double kFailureReportSeconds = 1.0;
// Times --silence-seconds: a step of a large model may take minutes.
constexpr double kTimeout = 20.0;
constexpr double kExchangeSeconds = 0.002;  // between looks at what has arrived

bool are_on_own_gpus(const std::vector<int>& group, const RunLaunch& launch,
                     const RunOptions& options) {
  const std::vector<GpuPlace> places =
      place_on_gpus(launch.ranks, first_worker(options, launch), options.ranks_per_gpu);
  return std::all_of(group.begin(), group.end(), [&](int rank) {
    return places[static_cast<std::size_t>(rank)].n_on_gpu == 1;
  });
}

}  // namespace

RankThread::RankThread(const RunOptions& options, RunLaunch& launch, double now_s)
    : link_(*launch.channel, 0, options.silence_seconds, now_s),
      timeout_s_(kTimeout * options.silence_seconds) {
  const int rank = launch.channel->rank(), first = first_worker(options, launch);
  WorkerPlace place = place_of(rank, launch, options);
  if (options.stages > 1) {
    stage_mailbox_.emplace((rank - first) % options.stages, options.stages);
    exchange_.emplace(*stage_mailbox_, *launch.bulk, launch.ranks,
                      stage_group(rank, first, options.stages));
    place.stages = {
        .rank = rank,
        .stage = stage_mailbox_->stage(),
        .n_stages = options.stages,
        .channel = &*stage_mailbox_,
        .on_own_gpus = device_of(options) == DeviceKind::cuda &&
                       are_on_own_gpus(stage_group(rank, first, options.stages), launch, options),
        .timeout_s = timeout_s_};
  }
  thread_ = std::thread([this, &options, place, metadata = std::move(launch.metadata)]() mutable {
    work(options, std::move(metadata), place, mailbox_);
    has_ended_ = true;
  });
  launch.metadata.reset();
}

RankThread::~RankThread() {
  mailbox_.abandon();
  if (stage_mailbox_) stage_mailbox_->close("the run ends");
  thread_.join();
}

void RankThread::end_without_coordinator() {
  mailbox_.abandon();
  if (!exchange_) return;
  const double start = now_s();
  while (!has_ended_ && !stage_mailbox_->is_closed() && now_s() - start < timeout_s_) {
    exchange_->tick();
    exchange_->pause(kExchangeSeconds);
  }
  exchange_->tick();  // that the group has no more to do
}

void RankThread::tick(double now_s) {
  mailbox_.set_orders(link_.orders());
  while (std::optional<Lease> lease = link_.take_lease()) mailbox_.put(std::move(*lease));
  if (exchange_) exchange_->tick();
  const RunOrder order = link_.orders().order;
  if (stage_mailbox_ && (order == RunOrder::leave || order == RunOrder::end))
    stage_mailbox_->close("its group of ranks was given up");
  mailbox_.exchange(link_);
  if (mailbox_.error() && now_s - complained_s_ >= kFailureReportSeconds) report_failure(now_s);
  link_.tick(now_s);
}

void RankThread::pause(double most_seconds) {
  if (exchange_) {
    exchange_->pause(most_seconds);
  } else {
    std::this_thread::sleep_for(std::chrono::duration<double>(most_seconds));
  }
}

// Running out of memory on a document costs this rank and, the second time, the document; a device
// that fails costs this rank; all else costs the run. Said again as long as nobody ends this rank.
void RankThread::report_failure(double now_s) {
  complained_s_ = now_s;
  const bool is_loading = !mailbox_.is_at_work();
  try {
    std::rethrow_exception(mailbox_.error());
  } catch (const StageLost& e) {
    link_.report_failure({static_cast<int>(e.code()), false, e.what()});
  } catch (const OutOfMemory& e) {
    link_.report_failure({static_cast<int>(e.code()), is_loading, e.what()});
  } catch (const DeviceFailed& e) {
    link_.report_failure({static_cast<int>(e.code()), is_loading, e.what()});
  } catch (const Error& e) {
    link_.report_failure({static_cast<int>(e.code()), true, e.what()});
  } catch (const std::bad_alloc&) {
    link_.report_failure(
        {static_cast<int>(ExitCode::internal), is_loading,
         "out of memory: raise its limit (ulimit -v, -d), or use a smaller model"});
  } catch (...) {
    const Failure failure = failure_of(std::current_exception());
    link_.report_failure({static_cast<int>(failure.code), true, failure.text});
  }
}

WorkerPlace place_of(int rank, const RunLaunch& launch, const RunOptions& options) {
  const std::vector<RankInfo>& ranks = launch.ranks;
  const int first = first_worker(options, launch), n_ranks = static_cast<int>(ranks.size());
  WorkerPlace place{.rank = rank, .n_on_host = 0, .packs_first = true};
  const std::uint64_t host = ranks[static_cast<std::size_t>(rank)].host_identity;
  for (int r = first; r < n_ranks; ++r) {
    if (ranks[static_cast<std::size_t>(r)].host_identity != host) continue;
    ++place.n_on_host;
    if (r < rank) place.packs_first = false;
  }
  // Ranks of different stages have different weights, too.
  if (place.n_on_host <= 1 || options.stages > 1) place.packs_first = false;
  if (device_of(options) != DeviceKind::cuda) return place;
  place.packs_first = false;  // each GPU has weights of its own
  place.gpu = place_on_gpus(ranks, first, options.ranks_per_gpu)[static_cast<std::size_t>(rank)];
  if (launch.nccl_group)
    place.nccl_group = {.id = *launch.nccl_group, .rank = rank - first, .n_ranks = n_ranks - first};
  return place;
}

}  // namespace tovamill
