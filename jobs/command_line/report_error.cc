#include "jobs/command_line/report_error.h"

#include <iostream>
#include <new>
#include <string>

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
  try {
    std::rethrow_exception(error);
  } catch (const Error& e) {
    // Every task of a launch finds the same fault in the command line: one says so.
    const bool is_common = e.code() == ExitCode::usage || e.code() == ExitCode::configuration;
    if (is_common && !may_print(find_launcher(process_environment())))
      return static_cast<int>(e.code());
    return report(e.what(), e.code());
  } catch (const std::bad_alloc&) {
    return report(
        "out of memory: give a smaller --memory-budget, fewer --streams or a smaller --cache-size",
        ExitCode::internal);
  } catch (const std::exception& e) {
    return report(std::string("internal error: ") + e.what(), ExitCode::internal);
  } catch (...) {
    return report("internal error of an unknown kind", ExitCode::internal);
  }
}

}  // namespace tovamill
