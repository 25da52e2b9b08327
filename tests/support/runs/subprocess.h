// Runs a program as a user would: arguments, environment, and what comes out of it.
#pragma once

#include <string>
#include <vector>

namespace tovamill::testing {

struct ProgramResult {
  int exit_code = -1;  // -1 where a signal ended it
  std::string out;
  std::string err;
};

// `environment` holds "NAME=value" settings on top of this process's own, of which those of
// launchers are removed. `out_to` is a file that takes standard output in place of
// ProgramResult::out; the input is empty.
ProgramResult run_subprocess(const std::vector<std::string>& command,
                             const std::vector<std::string>& environment = {},
                             const std::string& out_to = "");

// The same with the built `tovamill` in front.
ProgramResult run_tovamill(const std::vector<std::string>& arguments,
                           const std::vector<std::string>& environment = {},
                           const std::string& out_to = "");

}  // namespace tovamill::testing
