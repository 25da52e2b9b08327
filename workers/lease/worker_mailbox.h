// Where the two threads of a rank meet: the one that talks to the coordinator lays leases and
// orders down, the one that computes takes them and leaves word of what it has done. Every call may
// come from any thread and holds the lock for a moment only.
#pragma once

#include <condition_variable>
#include <deque>
#include <exception>
#include <mutex>
#include <optional>
#include <string>
#include <vector>

#include "pipeline/distributed/messages.h"
#include "pipeline/distributed/worker_link.h"

namespace tovamill {

// What the model of a rank came to, for the first lines of a run.
struct LoadedInfo {
  std::string model_description, tokenizer_description, device, dtype, sharing_note, work, stages;
  std::int32_t n_threads = 0, n_streams = 0, n_wanted_streams = 0;
  std::uint64_t weight_bytes = 0, state_bytes = 0, workspace_bytes = 0;
};

class WorkerMailbox {
 public:
  // --- the thread that computes

  std::optional<Lease> take_lease();
  Heartbeat orders() const;
  // Whether to go on computing: not after an end of any kind was ordered.
  bool keep_going() const;
  // Whether the run ends before it is done: a stop, or nobody is there any more.
  bool is_broken_off() const;
  // Until something arrives, at most so long.
  void wait_for_news(double seconds);
  void register_worker(Registration registration, LoadedInfo info);
  void publish(const WorkerSituation& situation);
  // This rank has packed the weights for its host.
  void offer_weights(const WeightsPlace& weights_place);
  void finished(std::uint64_t lease);
  void fail(std::exception_ptr error);

  // --- the communication thread

  void put(Lease lease);
  void set_orders(const Heartbeat& heartbeat);
  // Ends the computation as a stop does: the coordinator is gone.
  void abandon();
  void request_stop();  // this rank was asked to by a signal: the coordinator is to hear of it
  // Hands what was left to the link.
  void exchange(WorkerLink& link);
  std::optional<LoadedInfo> loaded() const;
  std::exception_ptr error() const;
  bool is_at_work() const;  // the model is loaded and the journal open

 private:
  mutable std::mutex mutex_;
  std::condition_variable news_;
  std::deque<Lease> leases_;
  Heartbeat orders_;
  bool abandoned_ = false, stop_requested_ = false;
  WorkerSituation situation_;
  std::vector<std::uint64_t> finished_;
  std::optional<Registration> registration_;
  std::optional<WeightsPlace> weights_;
  std::optional<LoadedInfo> loaded_;
  std::exception_ptr error_;
};

}  // namespace tovamill
