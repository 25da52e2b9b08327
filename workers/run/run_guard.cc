#include "workers/run/run_guard.h"

#include <fcntl.h>
#include <signal.h>
#include <sys/file.h>
#include <time.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <filesystem>

#include "io/files/durable.h"
#include "io/files/system_facts.h"
#include "io/files/temporary_file.h"
#include "kernels/types/error.h"
#include "pipeline/run_directory/run_directory.h"
#include "workers/run/run_contents.h"

namespace tovamill {
namespace {

namespace fs = std::filesystem;

constexpr std::array<int, 4> kStopSignals{SIGINT, SIGTERM, SIGUSR1, SIGXCPU};

// Launchers and batch systems may send two signals for one wish.
constexpr time_t kSecondWishSeconds = 2;

volatile sig_atomic_t stop_requested = 0;
volatile time_t stop_requested_at = 0;

time_t steady_seconds() {
  timespec now{};
  clock_gettime(CLOCK_MONOTONIC, &now);
  return now.tv_sec;
}

void on_signal(int signal_number) {
  if (stop_requested != 0) {
    if (signal_number == SIGXCPU) return;  // comes every second
    if (steady_seconds() - stop_requested_at >= kSecondWishSeconds) {
      remove_temporary_files();
      _exit(static_cast<int>(ExitCode::stopped));
    }
    return;
  }
  stop_requested_at = steady_seconds();
  stop_requested = 1;
}

}  // namespace

void check_run_directory(const std::string& run_directory, const std::string& own_file) {
  const fs::path path(run_directory);
  try {
    if (fs::exists(path) && !fs::is_directory(path)) {
      throw Error(ExitCode::cannot_create, run_directory + ": is a file: give --out a directory");
    }
    if (fs::exists(path)) check_run_contents(run_directory, own_file);
    fs::path there = fs::absolute(path);
    while (!fs::exists(there)) there = there.parent_path();
    errno = ENOTDIR;
    if (!fs::is_directory(there) || access(there.c_str(), W_OK | X_OK) != 0)
      throw fs::filesystem_error("", std::error_code(errno, std::generic_category()));
  } catch (const fs::filesystem_error& e) {
    throw Error(code_of_failure(e.code().value(), ExitCode::cannot_create),
                run_directory + ": " + why_io_failed(e.code().value()) + ": give another --out");
  }
}

void prepare_run_directory(const std::string& run_directory, const std::string& own_file) {
  check_run_directory(run_directory, own_file);
  create_run_directory(run_directory);
}

void clear_run_directory(const std::string& run_directory, const std::string& own_file) {
  try {
    remove_run_contents(run_directory, own_file);
  } catch (const fs::filesystem_error& e) {
    throw Error(ExitCode::cannot_create, run_directory + ": cannot be cleared: " +
                                             e.code().message() + ": give another --out");
  }
  create_run_directory(run_directory);
}

RunLock::RunLock(const std::string& run_directory, double wait_s) {
  const std::string path = run_directory + "/lock";
  descriptor_ = open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0644);
  if (descriptor_ < 0) {
    throw Error(code_of_failure(errno, ExitCode::cannot_create),
                path + ": cannot be created: " + why_io_failed(errno) + ": give another --out");
  }
  constexpr useconds_t kPauseMicroseconds = 100'000;
  for (double waited_s = 0.0;; waited_s += kPauseMicroseconds * 1e-6) {
    if (flock(descriptor_, LOCK_EX | LOCK_NB) == 0) return;
    // A file system without locks is no reason not to run.
    if (errno != EWOULDBLOCK && errno != EINTR) return;
    if (waited_s >= wait_s) break;
    usleep(kPauseMicroseconds);
  }
  close(descriptor_);
  throw Error(ExitCode::configuration,
              run_directory +
                  ": another process is at work on this run directory: wait for it, or give "
                  "another --out (if the two are tasks of one job: start them by " +
                  launch_script() + ", or srun --mpi=pmix)");
}

RunLock::~RunLock() { close(descriptor_); }

StopSignals::StopSignals() {
  stop_requested = 0;
  struct sigaction action {};
  action.sa_handler = on_signal;
  for (std::size_t i = 0; i < kStopSignals.size(); ++i)
    sigaction(kStopSignals[i], &action, &before_[i]);
}

StopSignals::~StopSignals() {
  for (std::size_t i = 0; i < kStopSignals.size(); ++i) {
    // A doubled signal that comes late must not kill a process that is on its orderly way out.
    if (stop_requested != 0)
      signal(kStopSignals[i], SIG_IGN);
    else
      sigaction(kStopSignals[i], &before_[i], nullptr);
  }
}

bool StopSignals::requested() { return stop_requested != 0; }

}  // namespace tovamill
