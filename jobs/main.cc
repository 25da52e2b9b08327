// One line on stderr for whatever goes wrong, and its exit code.
#include <exception>
#include <iostream>
#include <new>
#include <string>
#include <vector>

#include "jobs/commands.h"
#include "jobs/launcher.h"
#include "kernels/error.h"

namespace {

int report(const std::string& message, tovamill::ExitCode code) {
  std::string line = message;
  for (char& c : line) {
    if (c == '\n' || c == '\r') c = ' ';
  }
  std::cout.flush();
  std::cerr << "tovamill: error: " << line << std::endl;
  return static_cast<int>(code);
}

}  // namespace

int main(int argc, char** argv) {
  using tovamill::ExitCode;
  try {
    const int code = tovamill::run_program(std::vector<std::string>(argv + 1, argv + argc));
    if (!std::cout.flush())
      return report("standard output cannot be written: is its disk full?", ExitCode::io);
    return code;
  } catch (const tovamill::Error& error) {
    // Of several tasks, each finds the same fault in the command line: one says so.
    const bool is_common =
        error.code() == ExitCode::usage || error.code() == ExitCode::configuration;
    if (is_common && !tovamill::speaks(tovamill::find_launcher(tovamill::process_environment())))
      return static_cast<int>(error.code());
    return report(error.what(), error.code());
  } catch (const std::bad_alloc&) {
    return report(
        "out of memory: give a smaller --memory-budget, fewer --streams or a smaller --cache-size",
        ExitCode::internal);
  } catch (const std::exception& error) {
    return report(std::string("internal error: ") + error.what(), ExitCode::internal);
  } catch (...) {
    return report("internal error of an unknown kind", ExitCode::internal);
  }
}
