#include <iostream>
#include <string>
#include <vector>

#include "jobs/command_line/launcher.h"
#include "jobs/command_line/report_error.h"
#include "jobs/commands/commands.h"
#include "kernels/types/error.h"

int main(int argc, char** argv) {
  using namespace tovamill;
  try {
    const int code = run_program(std::vector<std::string>(argv + 1, argv + argc));
    if (!std::cout.flush())
      throw Error(ExitCode::io, "standard output cannot be written: is its disk full?");
    return code;
  } catch (...) {
    const int code = report_error(std::current_exception());
    tell_exit_code(find_launcher(process_environment()), code);
    return code;
  }
}
