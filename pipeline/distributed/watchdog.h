// Ends the process if a call hangs for ever, as MPI_Init does when a rank has died in it.
#pragma once

#include <chrono>
#include <condition_variable>
#include <mutex>
#include <string>
#include <thread>

namespace tovamill {

// A thread that waits. Once `seconds` have passed since the construction or the last `rearm`, it
// writes `message` (a line; empty: nothing) to standard error and calls _exit(exit_code): a call
// that does not return leaves nothing to be cleaned up. Destruction disarms it.
class Watchdog {
 public:
  Watchdog(double seconds, int exit_code, std::string message);
  ~Watchdog();
  Watchdog(const Watchdog&) = delete;
  Watchdog& operator=(const Watchdog&) = delete;

  void rearm(double seconds);

 private:
  using Clock = std::chrono::steady_clock;
  void wait();

  const int exit_code_;
  const std::string message_;
  std::mutex mutex_;
  std::condition_variable changed_;
  Clock::time_point deadline_;  // under mutex_, as the next
  bool disarmed_ = false;
  std::thread thread_;
};

}  // namespace tovamill
