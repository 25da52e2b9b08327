#include "workers/lease/work_desk.h"

#include <chrono>

namespace tovamill {

std::optional<Grant> WorkDesk::take_grant() {
  const std::lock_guard lock(mutex_);
  if (grants_.empty()) return std::nullopt;
  Grant grant = std::move(grants_.front());
  grants_.pop_front();
  return grant;
}

Pulse WorkDesk::orders() const {
  const std::lock_guard lock(mutex_);
  return orders_;
}

bool WorkDesk::keep_going() const {
  const std::lock_guard lock(mutex_);
  return !abandoned_ && (orders_.command == Command::wait || orders_.command == Command::work);
}

bool WorkDesk::is_broken_off() const {
  const std::lock_guard lock(mutex_);
  return abandoned_ || (orders_.command != Command::wait && orders_.command != Command::work &&
                        orders_.command != Command::finish);
}

void WorkDesk::wait_for_news(double seconds) {
  std::unique_lock lock(mutex_);
  if (grants_.empty()) news_.wait_for(lock, std::chrono::duration<double>(seconds));
}

void WorkDesk::introduce(Hello hello, LoadedInfo info) {
  const std::lock_guard lock(mutex_);
  hello_ = std::move(hello);
  loaded_ = std::move(info);
}

void WorkDesk::publish(const WorkerSituation& situation) {
  const std::lock_guard lock(mutex_);
  situation_ = situation;
}

void WorkDesk::offer_weights(const WeightsTicket& ticket) {
  const std::lock_guard lock(mutex_);
  weights_ = ticket;
}

void WorkDesk::finished(std::uint64_t grant) {
  const std::lock_guard lock(mutex_);
  finished_.push_back(grant);
}

void WorkDesk::fail(std::exception_ptr error) {
  const std::lock_guard lock(mutex_);
  error_ = std::move(error);
  situation_.phase = WorkerPhase::left;
}

void WorkDesk::put(Grant grant) {
  const std::lock_guard lock(mutex_);
  grants_.push_back(std::move(grant));
  // The wish is answered; during a long step it would be said, and answered, again and again.
  situation_.wants = Wants::nothing;
  news_.notify_all();
}

void WorkDesk::set_orders(const Pulse& pulse) {
  const std::lock_guard lock(mutex_);
  if (pulse.number == orders_.number) return;
  orders_ = pulse;
  news_.notify_all();
}

void WorkDesk::abandon() {
  const std::lock_guard lock(mutex_);
  abandoned_ = true;
  news_.notify_all();
}

void WorkDesk::request_stop() {
  const std::lock_guard lock(mutex_);
  stop_requested_ = true;
}

void WorkDesk::exchange(WorkerLink& link) {
  const std::lock_guard lock(mutex_);
  if (hello_) link.introduce(*hello_);
  for (const std::uint64_t grant : finished_) link.finished(grant);
  finished_.clear();
  WorkerSituation situation = situation_;
  situation.stop_requested = stop_requested_;
  situation.weights = weights_;
  link.update(situation);
}

std::optional<LoadedInfo> WorkDesk::loaded() const {
  const std::lock_guard lock(mutex_);
  return loaded_;
}

bool WorkDesk::is_at_work() const {
  const std::lock_guard lock(mutex_);
  return situation_.journal_is_open;
}

std::exception_ptr WorkDesk::error() const {
  const std::lock_guard lock(mutex_);
  return error_;
}

}  // namespace tovamill
