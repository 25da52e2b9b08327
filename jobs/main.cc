#include <iostream>
#include <new>
#include <string>
#include <vector>

#include "jobs/command_line/launcher.h"
#include "jobs/command_line/process_limits.h"
#include "jobs/command_line/report_error.h"
#include "jobs/commands/commands.h"
#include "kernels/types/error.h"

namespace {

int run(const std::vector<std::string>& arguments) {
  using namespace tovamill;
  try {
    const int code = run_program(arguments);
    if (code == 0 && !std::cout.flush())
      throw Error(ExitCode::io,
                  "standard output cannot be written: is its disk full, or its reader gone?");
    return code;
  } catch (...) {
    try {
      const int code = report_error(std::current_exception());
      tell_exit_code(find_launcher(process_environment()), code);
      return code;
    } catch (const std::bad_alloc&) {
      end_without_memory();
    }
  }
}

}  // namespace

int main(int argc, char** argv) {
  tovamill::arrange_limits();
  const int code = tovamill::on_large_stack([&] { return run({argv + 1, argv + argc}); });
  tovamill::expect_return();
  return code;
}
