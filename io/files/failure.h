// What an exception says to the user, whoever threw it.
#pragma once

#include <exception>
#include <string>

#include "kernels/types/error.h"

namespace tovamill {

struct Failure {
  ExitCode code = ExitCode::internal;
  std::string text;  // one line
};

// An Error as it is; of the libraries' exceptions what the system refused, and the limit that may
// be the reason: memory, threads (ulimit -u), open files (ulimit -n), a working directory that is
// gone.
Failure failure_of(const std::exception_ptr& error);

}  // namespace tovamill
