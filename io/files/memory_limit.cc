#include "io/files/memory_limit.h"

#include <signal.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <unistd.h>

#include <string_view>

#include "io/files/temporary_file.h"
#include "kernels/types/error.h"

namespace tovamill {
namespace {

// Of address space: what an arena of malloc takes.
constexpr std::size_t kNearlyBytes = std::size_t{64} << 20;

bool is_limited() {
  for (const auto what : {RLIMIT_AS, RLIMIT_DATA}) {
    rlimit limit{};
    if (getrlimit(what, &limit) == 0 && limit.rlim_cur != RLIM_INFINITY) return true;
  }
  return false;
}

void on_death(int signal_number) {
  end_if_memory_is_used_up();
  raise(signal_number);  // the default is back
}

}  // namespace

void end_if_memory_is_used_up() {
  if (!is_limited()) return;
  void* probe = mmap(nullptr, kNearlyBytes, PROT_READ | PROT_WRITE,
                     MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (probe != MAP_FAILED) {
    munmap(probe, kNearlyBytes);
    return;
  }
  constexpr std::string_view line =
      "tovamill: error: out of memory: raise its limit (ulimit -v, -d)\n";
  static_cast<void>(!write(STDERR_FILENO, line.data(), line.size()));
  remove_temporary_files();
  _exit(static_cast<int>(ExitCode::internal));
}

void expect_memory_limit() {
  if (!is_limited()) return;
  struct sigaction action {};
  action.sa_handler = on_death;
  action.sa_flags = static_cast<int>(SA_RESETHAND);
  for (const int s : {SIGSEGV, SIGABRT}) sigaction(s, &action, nullptr);
}

}  // namespace tovamill
