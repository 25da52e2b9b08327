// A limit of memory (ulimit -v, -d) of which libraries die instead of failing: oneDNN 2.6 runs code
// that it had no room to make, HDF5 1.10 uses what it could not allocate.
#pragma once

namespace tovamill {

// Ends the process with a line and exit code 1 where such a limit is nearly reached; else returns.
// For handlers of signals that a process dies of.
void end_if_memory_is_used_up();

// Lets SIGSEGV and SIGABRT end the process so, where there is such a limit.
void expect_memory_limit();

}  // namespace tovamill
