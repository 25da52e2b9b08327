// Who may write to a run directory, and when to stop.
#pragma once

#include <signal.h>

#include <array>
#include <string>

namespace tovamill {

// Makes the run directory if it is not there. `own_file` is a file of the run that may lie in it
// (--stream-jsonl). Throws Error(cannot_create) where the path is a file, Error(configuration)
// where it is a directory that holds other things than a run (run_contents.h).
void prepare_run_directory(const std::string& run_directory, const std::string& own_file = "");

// Throws what prepare_run_directory would, as far as that can be known without making anything.
void check_run_directory(const std::string& run_directory, const std::string& own_file = "");

// Deletes what an earlier run left, and nothing else. Only under a RunLock: another process may be
// at work on it.
void clear_run_directory(const std::string& run_directory, const std::string& own_file = "");

// The only process at work on a run directory, as long as this lives. Throws Error(configuration)
// where another is, and still is after `wait_s` seconds: ranks of a launch that died may take a
// while to go.
class RunLock {
 public:
  explicit RunLock(const std::string& run_directory, double wait_s = 0.0);
  ~RunLock();
  RunLock(const RunLock&) = delete;
  RunLock& operator=(const RunLock&) = delete;

 private:
  int descriptor_ = -1;
};

// While this lives, SIGINT, SIGTERM, SIGUSR1 and SIGXCPU ask for a stop at the next step; one that
// comes two seconds or more after the first ends the process at once.
class StopSignals {
 public:
  StopSignals();
  ~StopSignals();
  StopSignals(const StopSignals&) = delete;
  StopSignals& operator=(const StopSignals&) = delete;
  static bool requested();

 private:
  std::array<struct sigaction, 4> before_;
};

}  // namespace tovamill
