#include "workers/stages/stage_channel.h"

#include <chrono>
#include <utility>

namespace tovamill {

using Seconds = std::chrono::duration<double>;

ActivationLinksPlace links_of(const StagePlace& place, const std::optional<NcclGroupId>& before,
                              const std::optional<NcclGroupId>& behind) {
  return {.before = before,
          .behind = behind,
          .join_s = place.link_s,
          .timeout_s = place.timeout_s,
          .why_closed = [channel = place.channel] { return channel->why_closed(); },
          .on_lost = [channel = place.channel](const std::string& why) { channel->close(why); }};
}

void StageMailbox::send(int stage, Message message) {
  const std::lock_guard lock(mutex_);
  if (closed_) throw StageLost(*closed_);
  outbox_.push_back({stage, std::move(message)});
  leaving_.notify_one();
}

StageMessage StageMailbox::receive(double most_seconds) {
  std::unique_lock lock(mutex_);
  const auto is_over = [&] { return closed_ || !inbox_.empty(); };
  if (most_seconds <= 0.0) {
    arrived_.wait(lock, is_over);
  } else if (!arrived_.wait_for(lock, Seconds(most_seconds), is_over)) {
    throw StageLost("the other stages have not answered for " +
                    std::to_string(static_cast<int>(most_seconds)) + " s");
  }
  if (closed_) throw StageLost(*closed_);
  StageMessage message = std::move(inbox_.front());
  inbox_.pop_front();
  return message;
}

bool StageMailbox::has_message() const {
  const std::lock_guard lock(mutex_);
  return closed_ || !inbox_.empty();
}

std::optional<std::string> StageMailbox::why_closed() const {
  const std::lock_guard lock(mutex_);
  return closed_;
}

void StageMailbox::deliver(int stage, Message message) {
  const std::lock_guard lock(mutex_);
  inbox_.push_back({stage, std::move(message)});
  arrived_.notify_one();
}

std::optional<StageMessage> StageMailbox::take_to_send() {
  const std::lock_guard lock(mutex_);
  if (outbox_.empty()) return std::nullopt;
  StageMessage message = std::move(outbox_.front());
  outbox_.pop_front();
  return message;
}

void StageMailbox::wait_to_send(double most_seconds) {
  std::unique_lock lock(mutex_);
  leaving_.wait_for(lock, Seconds(most_seconds), [&] { return !outbox_.empty(); });
}

bool StageMailbox::is_closed() const {
  const std::lock_guard lock(mutex_);
  return closed_.has_value();
}

void StageMailbox::close(const std::string& why) {
  const std::lock_guard lock(mutex_);
  if (!closed_) closed_ = why;
  arrived_.notify_all();
}

}  // namespace tovamill
