#include "jobs/command_line/process_limits.h"

#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/time.h>
#include <unistd.h>

#include <algorithm>
#include <cstdlib>
#include <exception>
#include <new>
#include <string_view>
#include <system_error>
#include <thread>

#include "io/files/memory_limit.h"
#include "io/files/temporary_file.h"
#include "kernels/types/error.h"

namespace tovamill {
namespace {

constexpr std::size_t kStackBytes = std::size_t{8} << 20;
constexpr rlim_t kMostSecondsBefore = 60;
constexpr suseconds_t kMicrosecondsOfOne = 600'000;  // of a limit of one second
constexpr rlim_t kOpenFiles = 1024;  // are allowed, where the hard limit does not forbid it

// Open, but neither readable nor writable as it should be: what uses it gets an error.
void reserve_standard_streams() {
  for (const int stream : {STDIN_FILENO, STDOUT_FILENO, STDERR_FILENO}) {
    if (fcntl(stream, F_GETFD) >= 0) continue;
    // The lowest free number is this one.
    static_cast<void>(!open("/dev/null", stream == STDIN_FILENO ? O_WRONLY : O_RDONLY));
  }
}

// For signal handlers, and where no memory is left.
[[noreturn]] void end_with(std::string_view line, ExitCode code) {
  static_cast<void>(!write(STDERR_FILENO, line.data(), line.size()));
  remove_temporary_files();
  _exit(static_cast<int>(code));
}

void on_no_time_left(int) {
  end_with(
      "tovamill: error: the limit of processor time (ulimit -t) is reached: raise it and run the "
      "same command again\n",
      ExitCode::stopped);
}

// What no thread has caught: for want of memory or threads that is no crash.
void on_terminate() {
  try {
    if (std::current_exception()) throw;
  } catch (const std::bad_alloc&) {
    end_without_memory();
  } catch (const std::system_error&) {
    end_with(
        "tovamill: error: the system gives no more threads or memory: raise its limits (ulimit -u, "
        "-v, -d)\n",
        ExitCode::internal);
  } catch (...) {
  }
  std::abort();
}

void stop_after(suseconds_t microseconds) {
  signal(SIGPROF, [](int) { raise(SIGXCPU); });
  const itimerval timer{.it_interval = {}, .it_value = {.tv_sec = 0, .tv_usec = microseconds}};
  setitimer(ITIMER_PROF, &timer, nullptr);
}

// The hard limit kills at once; the soft one may lie below it, by whole seconds.
void leave_time_to_stop() {
  rlimit limit{};
  if (getrlimit(RLIMIT_CPU, &limit) != 0 || limit.rlim_max == RLIM_INFINITY) return;
  const rlim_t before = std::clamp<rlim_t>(limit.rlim_max / 10, 1, kMostSecondsBefore);
  if (limit.rlim_max <= before) return stop_after(kMicrosecondsOfOne);
  limit.rlim_cur = std::min(limit.rlim_cur, limit.rlim_max - before);
  setrlimit(RLIMIT_CPU, &limit);
}

void allow_open_files() {
  rlimit limit{};
  if (getrlimit(RLIMIT_NOFILE, &limit) != 0 || limit.rlim_cur >= kOpenFiles) return;
  limit.rlim_cur = std::min<rlim_t>(limit.rlim_max, kOpenFiles);
  setrlimit(RLIMIT_NOFILE, &limit);
}

void enlarge_stacks() {
  pthread_attr_t attributes;
  if (pthread_attr_init(&attributes) != 0) return;
  if (pthread_attr_setstacksize(&attributes, kStackBytes) == 0)
    pthread_setattr_default_np(&attributes);
  pthread_attr_destroy(&attributes);
}

// libgomp and others call exit() where they get no thread or memory; MPI does for reasons of its
// own, and says them.
bool is_returning = false;
void on_exit_of_library() {
  const bool is_rank = std::getenv("OMPI_COMM_WORLD_SIZE") || std::getenv("PMIX_NAMESPACE");
  if (!is_returning && !is_rank)
    end_with(
        "tovamill: error: a library ended the process, for want of memory or threads: raise their "
        "limits (ulimit -v, -d, -u)\n",
        ExitCode::internal);
}

}  // namespace

void expect_return() { is_returning = true; }

void end_without_memory() {
  end_with("tovamill: error: out of memory: raise its limit (ulimit -v, -d)\n", ExitCode::internal);
}

void arrange_limits() {
  reserve_standard_streams();
  for (const int s : {SIGPIPE, SIGXFSZ}) signal(s, SIG_IGN);
  signal(SIGXCPU, on_no_time_left);
  std::set_terminate(on_terminate);
  std::atexit(on_exit_of_library);
  leave_time_to_stop();
  allow_open_files();
  enlarge_stacks();
  expect_memory_limit();
  remove_temporary_files_on_signals();
}

int on_large_stack(const std::function<int()>& body) {
  rlimit limit{};
  if (getrlimit(RLIMIT_STACK, &limit) != 0 || limit.rlim_cur >= kStackBytes) return body();
  limit.rlim_cur = std::min<rlim_t>(limit.rlim_max, kStackBytes);
  setrlimit(RLIMIT_STACK, &limit);
  if (limit.rlim_cur >= kStackBytes) return body();
  int code = 0;
  try {
    std::thread([&] { code = body(); }).join();
  } catch (const std::system_error&) {
    return body();
  }
  return code;
}

}  // namespace tovamill
