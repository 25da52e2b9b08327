// The computing thread of a rank and its mailbox, as the communication thread sees them.
#pragma once

#include <atomic>
#include <optional>
#include <thread>

#include "pipeline/distributed/rank_info.h"
#include "pipeline/distributed/worker_link.h"
#include "workers/lease/worker_mailbox.h"
#include "workers/run/run_launch.h"
#include "workers/run/worker.h"
#include "workers/stages/stage_exchange.h"

namespace tovamill {

class RankThread {
 public:
  // Starts to compute. All must outlive this; the launch's head is taken.
  RankThread(const RunOptions& options, RunLaunch& launch, double now_s);
  ~RankThread();  // ends the computation at its next step, and waits for that

  void receive(const Message& message, double now_s) { link_.receive(message, now_s); }
  // Moves leases, orders and reports between the two threads and the coordinator; to be called
  // often.
  void tick(double now_s);
  // Between ticks: until there is something to do, at most so long.
  void pause(double most_seconds);
  void request_stop() { mailbox_.request_stop(); }
  // The coordinator is gone: ends the computation as a stop does, and waits for that as long as the
  // other stages of the group, which are needed for it, are there.
  void end_without_coordinator();

  const Heartbeat& orders() const { return link_.orders(); }
  bool coordinator_is_silent(double now_s) const { return link_.coordinator_is_silent(now_s); }
  std::optional<LoadedInfo> loaded() const { return mailbox_.loaded(); }

 private:
  void report_failure(double now_s);

  WorkerMailbox mailbox_;
  WorkerLink link_;
  std::optional<StageMailbox> stage_mailbox_;
  std::optional<StageExchange> exchange_;
  double complained_s_ = -1e9;
  const double timeout_s_;
  std::atomic<bool> has_ended_ = false;  // the computation
  std::thread thread_;
};

// Where rank `rank` stands among the working ranks of its host, and on which GPU, where the device
// is cuda.
WorkerPlace place_of(int rank, const RunLaunch& launch, const RunOptions& options);

}  // namespace tovamill
