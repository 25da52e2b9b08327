// A worker's side of the protocol (messages.h): accepts leases, reports, detects the loss of the
// coordinator. A state machine without clock and threads, as the coordinator is.
#pragma once

#include <cstdint>
#include <deque>
#include <optional>
#include <vector>

#include "pipeline/distributed/channel.h"
#include "pipeline/distributed/messages.h"

namespace tovamill {

// The situation of a worker, as its report tells it.
struct WorkerSituation {
  WorkerPhase phase = WorkerPhase::starting;
  Wants wants = Wants::nothing;
  bool stop_requested = false;
  bool journal_is_open = false;
  std::uint64_t bytes_open = 0;
  WorkerCounters counters;
  std::optional<WeightsPlace> weights;
};

class WorkerLink {
 public:
  WorkerLink(Channel& channel, int coordinator, double silence_s, double now_s)
      : channel_(channel),
        coordinator_(coordinator),
        silence_s_(silence_s),
        heard_s_(now_s),
        ticked_s_(now_s) {}

  // Registers this worker; repeated until the coordinator confirms it.
  void register_worker(Registration registration);
  void update(const WorkerSituation& situation);
  // Tells that the work of a lease is durable.
  void finished(std::uint64_t lease);
  // Tells the coordinator that this rank cannot continue.
  void report_failure(const WorkerFailure& failure) {
    channel_.send(coordinator_, encode(failure));
  }

  void receive(const Message& message, double now_s);
  void tick(double now_s);

  // Leases that have arrived since the last call.
  std::optional<Lease> take_lease();
  const Heartbeat& orders() const { return heartbeat_; }
  bool coordinator_is_silent(double now_s) const { return now_s - heard_s_ > silence_s_; }

 private:
  bool is_urgent(const WorkerSituation& before, const WorkerSituation& now) const;

  Channel& channel_;
  int coordinator_;
  double silence_s_;
  double heard_s_, ticked_s_;
  double reported_s_ = -1e9;
  bool something_new_ = true;
  std::optional<Registration> registration_;
  WorkerSituation situation_;
  Heartbeat heartbeat_;
  std::uint64_t n_reports_ = 0, accepted_ = 0;
  std::vector<std::uint64_t> open_;
  std::deque<Lease> arrived_;
};

}  // namespace tovamill
