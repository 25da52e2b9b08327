// What the program arranges with the system before all else, so that no limit ends it by a signal.
#pragma once

#include <functional>

namespace tovamill {

// Closed standard streams become ones that cannot be used: no file that is opened later may get
// their numbers. Writing to a pipe that nobody reads and beyond the limit of file sizes (ulimit -f)
// fails instead of killing. The limit of processor time (ulimit -t) is lowered by a tenth, at most
// a minute, and what comes then (SIGXCPU) is a wish to stop. Threads get stacks of 8 MiB whatever
// ulimit -s says. SIGINT, SIGTERM and SIGHUP remove temporary files before they end the process.
// Memory or threads that are wanting where nobody catches it end it with a line.
void arrange_limits();

// Runs `body` on a stack of 8 MiB: this one where the limit (ulimit -s) allows or can be raised.
int on_large_stack(const std::function<int()>& body);

// `main` is about to return: an exit before that is a library's, and ends the process with a line.
void expect_return();

// Where not even an error can be told for want of memory.
[[noreturn]] void end_without_memory();

}  // namespace tovamill
