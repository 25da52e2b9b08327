#include "jobs/command_line/report_error.h"

#include <iostream>
#include <string>

#include "io/files/failure.h"
#include "jobs/command_line/launcher.h"
#include "kernels/types/error.h"

namespace tovamill {
namespace {

int report(std::string line, ExitCode code) {
  for (char& c : line) {
    if (c == '\n' || c == '\r') c = ' ';
  }
  std::cout.flush();
  std::cerr << "tovamill: error: " << line << std::endl;
  return static_cast<int>(code);
}

}  // namespace

int report_error(std::exception_ptr error) {
  const Failure failure = failure_of(error);
  // Every task of a launch finds the same fault in the command line: one says so.
  const bool is_common = failure.code == ExitCode::usage || failure.code == ExitCode::configuration;
  if (is_common && !may_print(find_launcher(process_environment())))
    return static_cast<int>(failure.code);
  return report(failure.text, failure.code);
}

}  // namespace tovamill
