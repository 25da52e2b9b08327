#include "workers/run/corpus_run.h"

#include <chrono>
#include <thread>

#include "io/files/system_facts.h"
#include "kernels/types/error.h"
#include "pipeline/distributed/local_channel.h"
#include "pipeline/distributed/process_watch.h"
#include "workers/lease/run_journal.h"
#include "workers/load/gpu_places.h"
#include "workers/run/coordinating_rank.h"
#include "workers/run/run_guard.h"
#include "workers/stages/stage_cut.h"

namespace tovamill {
namespace {

constexpr double kPollSeconds = 0.002;  // between looks at what has arrived
// So long the last words of a rank 0 that has ended may take to arrive.
constexpr double kLastWordsSeconds = 0.5;

// A rank other than 0: computes what it is given until it is told to end.
void run_worker(const RunOptions& options, RunLaunch& launch) {
  const int rank = launch.channel->rank();
  ProcessWatch coordinator;
  const bool is_near = launch.ranks[static_cast<std::size_t>(rank)].host_identity ==
                       launch.ranks.front().host_identity;
  if (is_near) coordinator.watch(0, launch.ranks.front().pid);
  RankThread thread(options, launch, now_s());
  double ended_s = 0.0;
  while (true) {
    const double now = now_s();
    while (const std::optional<Envelope> e = launch.channel->receive()) {
      try {
        if (!is_for_coordinator(kind_of(e->message))) thread.receive(e->message, now);
      } catch (const BadData&) {
        // As if lost: it will be said again.
      }
    }
    if (StopSignals::requested()) thread.request_stop();
    thread.tick(now);
    const Heartbeat& orders = thread.orders();
    if (orders.order == RunOrder::end) {
      launch.all_alive = orders.all_alive;
      return;
    }
    if (!coordinator.ended().empty()) ended_s = now;
    if ((ended_s > 0.0 && now - ended_s > kLastWordsSeconds) || thread.coordinator_is_silent(now)) {
      thread.end_without_coordinator();
      throw Error(ExitCode::stopped,
                  "rank " + std::to_string(rank) + " on " + host_name() +
                      ": rank 0 is gone; what is finished is saved: run the same command again");
    }
    thread.pause(kPollSeconds);
  }
}

}  // namespace

int first_worker(const RunOptions& options, const RunLaunch& launch) {
  return options.dedicated_coordinator && launch.ranks.size() > 1 ? 1 : 0;
}

RunLaunch lone_launch(Channel& channel, std::span<const std::uint64_t> gpus) {
  RunLaunch launch;
  launch.channel = &channel;
  launch.ranks = place_ranks(std::vector{facts_of_this_process(gpus)});
  return launch;
}

std::optional<RunSummary> run_corpus(const RunOptions& options, RunLaunch& launch,
                                     RunObserver& observer) {
  validate(options);
  check_groups(static_cast<int>(launch.ranks.size()), first_worker(options, launch),
               options.stages);
  RunOptions on_device = options;
  on_device.device = choose_device(options.device, launch.ranks, first_worker(options, launch));
  const StopSignals signals;  // a stop asked for while the model loads holds before the first step
  if (launch.channel->rank() != 0) {
    run_worker(on_device, launch);
    return std::nullopt;
  }
  CoordinatingRank rank(on_device, launch, observer);
  return rank.run();
}

RunSummary run_corpus(const RunOptions& options, RunObserver& observer) {
  LocalChannel channel;
  RunLaunch launch = lone_launch(channel, gpu_identities(options.device));
  return *run_corpus(options, launch, observer);
}

}  // namespace tovamill
