#include "pipeline/distributed/watchdog.h"

#include <unistd.h>

#include <utility>

namespace tovamill {
namespace {

std::chrono::steady_clock::time_point from_now(double seconds) {
  using std::chrono::duration;
  using std::chrono::steady_clock;
  return steady_clock::now() +
         std::chrono::duration_cast<steady_clock::duration>(duration<double>(seconds));
}

}  // namespace

Watchdog::Watchdog(double seconds, int exit_code, std::string message)
    : exit_code_(exit_code),
      message_(std::move(message)),
      deadline_(from_now(seconds)),
      thread_([this] { wait(); }) {}

Watchdog::~Watchdog() {
  {
    const std::lock_guard lock(mutex_);
    disarmed_ = true;
  }
  changed_.notify_one();
  thread_.join();
}

void Watchdog::rearm(double seconds) {
  {
    const std::lock_guard lock(mutex_);
    deadline_ = from_now(seconds);
  }
  changed_.notify_one();
}

void Watchdog::wait() {
  std::unique_lock lock(mutex_);
  while (!disarmed_) {
    const Clock::time_point deadline = deadline_;
    if (changed_.wait_until(lock, deadline) == std::cv_status::no_timeout) continue;
    if (disarmed_ || deadline_ > Clock::now()) continue;
    if (!message_.empty()) {
      const std::string line = message_ + "\n";
      [[maybe_unused]] const ssize_t n = write(STDERR_FILENO, line.data(), line.size());
    }
    _exit(exit_code_);
  }
}

}  // namespace tovamill
