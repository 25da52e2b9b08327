// The orders of the coordinator, which ranks are alive, and how a run ends.
#include <algorithm>
#include <utility>

#include "pipeline/distributed/coordinator.h"

namespace tovamill {
namespace {

bool is_alive(const Coordinator::Worker& w) {
  return w.state != Coordinator::State::dead && w.state != Coordinator::State::left;
}

}  // namespace

void Coordinator::request_stop() {
  if (order_ == RunOrder::wait || order_ == RunOrder::work) {
    order_ = RunOrder::stop;
    outcome_ = RunOutcome::stopped;
    for (Worker& w : workers_) w.heartbeat_sent_s = -1e9;
  }
}

void Coordinator::fail(int exit_code, const std::string& text) {
  if (outcome_ == RunOutcome::failed || outcome_ == RunOutcome::complete) return;
  request_stop();
  outcome_ = RunOutcome::failed;
  exit_code_ = exit_code;
  failure_ = text;
}

int Coordinator::n_alive() const {
  return static_cast<int>(
      std::count_if(workers_.begin() + options_.first_worker, workers_.end(), is_alive));
}

bool Coordinator::anybody_alive() const {
  return std::any_of(workers_.begin() + options_.first_worker, workers_.end(), is_alive);
}

std::vector<int> Coordinator::take_lost() { return std::exchange(lost_, {}); }

bool Coordinator::anybody_works() const {
  return std::any_of(workers_.begin(), workers_.end(),
                     [](const Worker& w) { return w.report.journal_is_open; });
}

// Is called for every report: looks at all workers only if nothing is left to hand out.
void Coordinator::check_complete() {
  if (outcome_ != RunOutcome::running || !begun_) return;
  const bool idle = schedule_.empty() && std::ranges::all_of(workers_, [](const Worker& w) {
                      return w.outstanding.empty() && w.is_reviewed;
                    });
  if (idle) {
    outcome_ = RunOutcome::complete;
    order_ = RunOrder::finish;
    for (Worker& w : workers_) w.heartbeat_sent_s = -1e9;
  } else if (!anybody_alive()) {
    outcome_ = RunOutcome::lost;
    order_ = RunOrder::stop;
  }
}

RunOutcome Coordinator::outcome() const { return outcome_; }

bool Coordinator::everybody_left() const {
  if (outcome_ == RunOutcome::running) return false;
  for (int rank = options_.first_worker; rank < channel_.n_ranks(); ++rank) {
    const State s = workers_[static_cast<std::size_t>(rank)].state;
    if (s != State::left && s != State::dead) return false;
  }
  return true;
}

void Coordinator::end() {
  order_ = RunOrder::end;
  for (Worker& w : workers_) w.heartbeat_sent_s = -1e9;
}

bool Coordinator::everybody_was_told() const {
  if (order_ != RunOrder::end) return false;
  for (int rank = options_.first_worker; rank < channel_.n_ranks(); ++rank) {
    const Worker& w = workers_[static_cast<std::size_t>(rank)];
    if ((w.state != State::dead || w.is_present) && w.heartbeat_sent_s < 0.0) return false;
  }
  return true;
}

// Sends heartbeats at once to the ranks of its host, which wait for its weights.
void Coordinator::expedite_heartbeats_of_host(int rank) {
  for (std::size_t r = 0; r < workers_.size(); ++r) {
    if (options_.hosts[r] == options_.hosts[static_cast<std::size_t>(rank)])
      workers_[r].heartbeat_sent_s = -1e9;
  }
}

bool Coordinator::takes_leases(int rank) const {
  return (rank - options_.first_worker) % options_.n_stages == 0;
}

std::vector<int> Coordinator::stage_peers_of(int rank) const {
  const int first = rank - (rank - options_.first_worker) % options_.n_stages;
  std::vector<int> peers;
  for (int r = first; r < std::min(first + options_.n_stages, channel_.n_ranks()); ++r) {
    if (r != rank) peers.push_back(r);
  }
  return peers;
}

// The ranks of a stage group need each other to the end.
bool Coordinator::has_lost_stage_peer(int rank) const {
  return std::ranges::any_of(stage_peers_of(rank), [this](int peer) {
    return !is_alive(workers_[static_cast<std::size_t>(peer)]);
  });
}

void Coordinator::expedite_heartbeats_of_peers(int rank) {
  for (const int peer : stage_peers_of(rank))
    workers_[static_cast<std::size_t>(peer)].heartbeat_sent_s = -1e9;
}

// The lowest rank of a host packs the weights, the others map them.
WeightsOrder Coordinator::weights_for(int rank, WeightsPlace& weights_place) const {
  for (int r = options_.first_worker; r < rank && options_.n_stages == 1; ++r) {
    if (options_.hosts[static_cast<std::size_t>(r)] !=
        options_.hosts[static_cast<std::size_t>(rank)])
      continue;
    const Worker& packer = workers_[static_cast<std::size_t>(r)];
    if (packer.state == State::dead) return WeightsOrder::pack_alone;
    if (!packer.report.weights) return WeightsOrder::wait;
    weights_place = *packer.report.weights;
    return WeightsOrder::map_packed;
  }
  return WeightsOrder::pack_alone;
}

void Coordinator::send_heartbeat(int rank, double now_s) {
  Worker& w = workers_[static_cast<std::size_t>(rank)];
  Heartbeat heartbeat;
  heartbeat.number = ++w.n_heartbeats;
  const bool is_given_up = w.state == State::dead || has_lost_stage_peer(rank);
  heartbeat.order = is_given_up && order_ != RunOrder::end ? RunOrder::leave : order_;
  heartbeat.is_known = w.is_known;
  heartbeat.all_alive = !anybody_lost_;
  heartbeat.launch = launch_;
  heartbeat.dtype = dtype_;
  heartbeat.useful_streams = useful_streams_;
  heartbeat.weights = weights_for(rank, heartbeat.weights_place);
  w.heartbeat_sent_s = now_s;
  channel_.send(rank, encode(heartbeat));
}

std::uint64_t Coordinator::bytes_left() const {
  std::uint64_t sum = schedule_.bytes_left();
  for (const Worker& w : workers_) {
    std::uint64_t outstanding = 0;
    for (const auto& [number, o] : w.outstanding) outstanding += o.n_bytes;
    sum += w.state == State::dead ? outstanding : std::min(outstanding, w.report.bytes_open);
  }
  return std::min(sum, bytes_total_);
}

WorkerCounters Coordinator::totals() const {
  WorkerCounters t = earlier_;
  for (const Worker& w : workers_) {
    const WorkerCounters& c = w.report.counters;
    t.n_documents += c.n_documents;
    t.n_failed += c.n_failed;
    t.n_tokens += c.n_tokens;
  }
  return t;
}

}  // namespace tovamill
