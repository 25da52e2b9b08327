#include "pipeline/distributed/worker_link.h"

#include <algorithm>

namespace tovamill {
namespace {

constexpr double kReportSeconds = 1.0;
constexpr double kSoonSeconds = 0.01;  // between two reports of events

}  // namespace

// Whether a report differs in an event; counters can wait for the next report.
bool WorkerLink::is_urgent(const WorkerSituation& a, const WorkerSituation& b) const {
  return a.phase != b.phase || a.wants != b.wants || a.stop_requested != b.stop_requested ||
         a.journal_is_open != b.journal_is_open || a.weights != b.weights;
}

void WorkerLink::register_worker(Registration registration) {
  something_new_ = something_new_ || !registration_;
  registration_ = std::move(registration);
}

void WorkerLink::update(const WorkerSituation& situation) {
  something_new_ = something_new_ || is_urgent(situation_, situation);
  situation_ = situation;
}

void WorkerLink::finished(std::uint64_t lease) {
  std::erase(open_, lease);
  something_new_ = true;
}

void WorkerLink::receive(const Message& message, double now_s) {
  switch (kind_of(message)) {
    case MessageKind::heartbeat: {
      Heartbeat heartbeat = decode_heartbeat(message);
      if (heartbeat.number > heartbeat_.number) heartbeat_ = heartbeat;
      break;
    }
    case MessageKind::lease: {
      Lease lease = decode_lease(message);
      something_new_ = true;  // a lease that arrived before was not acknowledged: report again
      if (lease.number != accepted_ + 1) break;
      accepted_ = lease.number;
      open_.push_back(lease.number);
      arrived_.push_back(std::move(lease));
      break;
    }
    default:
      break;
  }
  heard_s_ = now_s;
}

void WorkerLink::tick(double now_s) {
  // As in the coordinator: its own standstill is not the silence of the other.
  if (const double gap = now_s - ticked_s_; gap > kStandstillSeconds)
    heard_s_ = std::min(now_s, heard_s_ + gap);
  ticked_s_ = now_s;
  const double since = now_s - reported_s_;
  if (since < kSoonSeconds || (!something_new_ && since < kReportSeconds)) return;
  reported_s_ = now_s;
  something_new_ = false;
  if (registration_ && !heartbeat_.is_known) channel_.send(coordinator_, encode(*registration_));
  Report r;
  r.number = ++n_reports_;
  r.accepted = accepted_;
  r.open = open_;
  r.phase = situation_.phase;
  r.wants = situation_.wants;
  r.stop_requested = situation_.stop_requested;
  r.journal_is_open = situation_.journal_is_open;
  r.bytes_open = situation_.bytes_open;
  r.counters = situation_.counters;
  r.weights = situation_.weights;
  channel_.send(coordinator_, encode(r));
}

std::optional<Lease> WorkerLink::take_lease() {
  if (arrived_.empty()) return std::nullopt;
  Lease lease = std::move(arrived_.front());
  arrived_.pop_front();
  return lease;
}

}  // namespace tovamill
