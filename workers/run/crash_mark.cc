#include "workers/run/crash_mark.h"

#include <signal.h>
#include <unistd.h>

#include <string>

#include "io/files/memory_limit.h"
#include "io/results/journal.h"
#include "pipeline/run_directory/journal_entries.h"

namespace tovamill {
namespace {

constexpr std::array<int, 5> kCrashSignals{SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGABRT};
constexpr std::size_t kStackBytes = 64u << 10;

// Made in advance: a signal handler may only call write(2).
std::array<std::vector<std::byte>, kCrashSignals.size()> frames;
volatile int journal_descriptor = -1;

void on_crash(int number) {
  for (std::size_t i = 0; i < kCrashSignals.size(); ++i) {
    if (kCrashSignals[i] != number || journal_descriptor < 0) continue;
    const ssize_t ignored = write(journal_descriptor, frames[i].data(), frames[i].size());
    static_cast<void>(ignored);
  }
  if (number == SIGSEGV || number == SIGABRT) end_if_memory_is_used_up();
  // The default is back (SA_RESETHAND): the signal comes again when this returns, or now.
  raise(number);
}

}  // namespace

CrashMark::CrashMark(int descriptor) : stack_(kStackBytes) {
  for (std::size_t i = 0; i < kCrashSignals.size(); ++i) {
    frames[i] = JournalWriter::frame(
        JournalEntry::crash, encode(CrashEntry{"signal " + std::to_string(kCrashSignals[i])}));
  }
  journal_descriptor = descriptor;
  stack_t stack{};
  stack.ss_sp = stack_.data();
  stack.ss_size = stack_.size();
  sigaltstack(&stack, nullptr);
  struct sigaction action {};
  action.sa_handler = on_crash;
  action.sa_flags = static_cast<int>(SA_RESETHAND | SA_ONSTACK);
  for (const int s : kCrashSignals) sigaction(s, &action, nullptr);
}

CrashMark::~CrashMark() {
  for (const int s : kCrashSignals) signal(s, SIG_DFL);
  expect_memory_limit();
  journal_descriptor = -1;
  stack_t none{};
  none.ss_flags = SS_DISABLE;
  sigaltstack(&none, nullptr);
}

}  // namespace tovamill
