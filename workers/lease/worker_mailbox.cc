#include "workers/lease/worker_mailbox.h"

#include <chrono>

namespace tovamill {

std::optional<Lease> WorkerMailbox::take_lease() {
  const std::lock_guard lock(mutex_);
  if (leases_.empty()) return std::nullopt;
  Lease lease = std::move(leases_.front());
  leases_.pop_front();
  return lease;
}

Heartbeat WorkerMailbox::orders() const {
  const std::lock_guard lock(mutex_);
  return orders_;
}

bool WorkerMailbox::keep_going() const {
  const std::lock_guard lock(mutex_);
  return !abandoned_ && (orders_.order == RunOrder::wait || orders_.order == RunOrder::work);
}

bool WorkerMailbox::is_broken_off() const {
  const std::lock_guard lock(mutex_);
  return abandoned_ || (orders_.order != RunOrder::wait && orders_.order != RunOrder::work &&
                        orders_.order != RunOrder::finish);
}

void WorkerMailbox::wait_for_news(double seconds) {
  std::unique_lock lock(mutex_);
  if (leases_.empty()) news_.wait_for(lock, std::chrono::duration<double>(seconds));
}

void WorkerMailbox::register_worker(Registration registration, LoadedInfo info) {
  const std::lock_guard lock(mutex_);
  registration_ = std::move(registration);
  loaded_ = std::move(info);
}

void WorkerMailbox::publish(const WorkerSituation& situation) {
  const std::lock_guard lock(mutex_);
  situation_ = situation;
}

void WorkerMailbox::offer_weights(const WeightsPlace& weights_place) {
  const std::lock_guard lock(mutex_);
  weights_ = weights_place;
}

void WorkerMailbox::finished(std::uint64_t lease) {
  const std::lock_guard lock(mutex_);
  finished_.push_back(lease);
}

void WorkerMailbox::fail(std::exception_ptr error) {
  const std::lock_guard lock(mutex_);
  error_ = std::move(error);
  situation_.phase = WorkerPhase::left;
}

void WorkerMailbox::put(Lease lease) {
  const std::lock_guard lock(mutex_);
  leases_.push_back(std::move(lease));
  // The wish is answered; during a long step it would be said, and answered, again and again.
  situation_.wants = Wants::nothing;
  news_.notify_all();
}

void WorkerMailbox::set_orders(const Heartbeat& heartbeat) {
  const std::lock_guard lock(mutex_);
  if (heartbeat.number == orders_.number) return;
  orders_ = heartbeat;
  news_.notify_all();
}

void WorkerMailbox::abandon() {
  const std::lock_guard lock(mutex_);
  abandoned_ = true;
  news_.notify_all();
}

void WorkerMailbox::request_stop() {
  const std::lock_guard lock(mutex_);
  stop_requested_ = true;
}

void WorkerMailbox::exchange(WorkerLink& link) {
  const std::lock_guard lock(mutex_);
  if (registration_) link.register_worker(*registration_);
  for (const std::uint64_t lease : finished_) link.finished(lease);
  finished_.clear();
  WorkerSituation situation = situation_;
  situation.stop_requested = stop_requested_;
  situation.weights = weights_;
  link.update(situation);
}

std::optional<LoadedInfo> WorkerMailbox::loaded() const {
  const std::lock_guard lock(mutex_);
  return loaded_;
}

bool WorkerMailbox::is_at_work() const {
  const std::lock_guard lock(mutex_);
  return situation_.journal_is_open;
}

std::exception_ptr WorkerMailbox::error() const {
  const std::lock_guard lock(mutex_);
  return error_;
}

}  // namespace tovamill
