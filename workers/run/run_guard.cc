#include "workers/run/run_guard.h"

#include <fcntl.h>
#include <signal.h>
#include <sys/file.h>
#include <time.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstring>
#include <filesystem>
#include <initializer_list>

#include "io/files/system_facts.h"
#include "kernels/types/error.h"
#include "pipeline/run_directory/run_directory.h"

namespace tovamill {
namespace {

namespace fs = std::filesystem;

constexpr std::array<const char*, 9> kOurNames{"journal",         "overwritten",    "states",
                                               "results.h5",      "results.h5.tmp", "status.json",
                                               "status.json.tmp", "report.html",    "lock"};
constexpr std::array<int, 3> kStopSignals{SIGINT, SIGTERM, SIGUSR1};

// Launchers and batch systems may send two signals for one wish.
constexpr time_t kSecondWishSeconds = 2;

volatile sig_atomic_t stop_requested = 0;
volatile time_t stop_requested_at = 0;

time_t steady_seconds() {
  timespec now{};
  clock_gettime(CLOCK_MONOTONIC, &now);
  return now.tv_sec;
}

void on_signal(int) {
  if (stop_requested != 0) {
    if (steady_seconds() - stop_requested_at >= kSecondWishSeconds)
      _exit(static_cast<int>(ExitCode::stopped));
    return;
  }
  stop_requested_at = steady_seconds();
  stop_requested = 1;
}

[[noreturn]] void refuse_foreign(const fs::path& directory, const std::string& name) {
  throw Error(ExitCode::cannot_create, directory.string() + ": is not a run directory (it holds '" +
                                           name + "'): give --out a new or an empty directory");
}

// A folder named journal may be somebody's diary; --overwrite would delete it.
void check_folder(const fs::path& directory, const std::string& name,
                  std::initializer_list<const char*> endings) {
  if (!fs::is_directory(directory / name)) return;
  for (const fs::directory_entry& entry : fs::directory_iterator(directory / name)) {
    bool ours = false;
    for (const char* ending : endings) ours = ours || entry.path().extension() == ending;
    if (!ours) refuse_foreign(directory, name + "/" + entry.path().filename().string());
  }
}

void check_ours(const fs::path& directory) {
  for (const fs::directory_entry& entry : fs::directory_iterator(directory)) {
    const std::string name = entry.path().filename().string();
    bool ours = false;
    for (const char* known : kOurNames) ours = ours || name == known;
    if (!ours) refuse_foreign(directory, name);
  }
  check_folder(directory, "journal", {".log"});
  check_folder(directory, "states", {".state", ".tmp"});
}

}  // namespace

void check_run_directory(const std::string& run_directory) {
  const fs::path path(run_directory);
  try {
    if (fs::exists(path) && !fs::is_directory(path)) {
      throw Error(ExitCode::cannot_create, run_directory + ": is a file: give --out a directory");
    }
    if (fs::exists(path)) check_ours(path);
    fs::path there = fs::absolute(path);
    while (!fs::exists(there)) there = there.parent_path();
    errno = ENOTDIR;
    if (!fs::is_directory(there) || access(there.c_str(), W_OK | X_OK) != 0)
      throw fs::filesystem_error("", std::error_code(errno, std::generic_category()));
  } catch (const fs::filesystem_error& e) {
    throw Error(ExitCode::cannot_create,
                run_directory + ": " + e.code().message() + ": give another --out");
  }
}

void prepare_run_directory(const std::string& run_directory) {
  check_run_directory(run_directory);
  create_run_directory(run_directory);
}

void clear_run_directory(const std::string& run_directory) {
  try {
    for (const char* name : kOurNames) {
      if (std::strcmp(name, "lock") != 0) fs::remove_all(fs::path(run_directory) / name);
    }
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
    throw Error(ExitCode::cannot_create,
                path + ": cannot be created: " + std::strerror(errno) + ": give another --out");
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
  for (const int s : kStopSignals) sigaction(s, &action, nullptr);
}

StopSignals::~StopSignals() {
  // A doubled signal that comes late must not kill a process that is on its orderly way out.
  const auto after = stop_requested != 0 ? SIG_IGN : SIG_DFL;
  for (const int s : kStopSignals) signal(s, after);
}

bool StopSignals::requested() { return stop_requested != 0; }

}  // namespace tovamill
