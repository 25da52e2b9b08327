// A program that reads its standard input and writes its standard output, as a child process.
#pragma once

#include <chrono>
#include <string>
#include <vector>

namespace tovamill {

struct ChildResult {
  int exit_code = -1;  // 128 + the signal where one ended it
  std::string out, err;
  bool timed_out = false;  // and was killed
};

// Searches the program in PATH; no shell. All of its input and output is kept in memory. Throws
// Error(no_device) where there is no such program, naming `package`, which has it; Error(io) where
// it cannot be started.
ChildResult run_child(const std::vector<std::string>& command, const std::string& input,
                      std::chrono::milliseconds limit, const std::string& package);

}  // namespace tovamill
