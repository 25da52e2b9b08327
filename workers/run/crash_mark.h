// A process that dies of its own fault (a signal of a crash) says so in its journal, so that the
// document it was computing can be told from one whose rank was killed by somebody.
#pragma once

#include <array>
#include <cstddef>
#include <vector>

namespace tovamill {

// While this lives, SIGSEGV, SIGBUS, SIGFPE, SIGILL and SIGABRT write a crash entry to the journal
// open at `descriptor`; then the process dies of the signal as it would have. One at a time.
class CrashMark {
 public:
  explicit CrashMark(int descriptor);
  ~CrashMark();
  CrashMark(const CrashMark&) = delete;
  CrashMark& operator=(const CrashMark&) = delete;

 private:
  std::vector<std::byte> stack_;  // the handler's own: the crash may be an overflow of the other
};

}  // namespace tovamill
