// The built program as a process that a test may send signals to while it runs.
#pragma once

#include <sys/types.h>

#include <functional>
#include <string>
#include <vector>

#include "tests/support/temporary_directory.h"

namespace tovamill::testing {

class RunningProgram {
 public:
  // Starts `tovamill` with these arguments; its input is empty, its output goes to files.
  explicit RunningProgram(const std::vector<std::string>& arguments);
  // Starts `tovamill` as so many ranks under mpirun, the death of which the others survive. Signals
  // go to mpirun.
  RunningProgram(int n_ranks, const std::vector<std::string>& arguments);
  ~RunningProgram();  // kills it if it is still there
  RunningProgram(const RunningProgram&) = delete;
  RunningProgram& operator=(const RunningProgram&) = delete;

  void send(int signal) const;
  // Waits until it ends; the exit code, or minus the number of the signal that ended it.
  int wait();
  // Waits until it ends or `condition` holds; whether the latter came first.
  bool wait_until(const std::function<bool()>& condition);

  // The process of a rank; -1 where it is not there.
  pid_t find_rank(int rank) const;

  std::string out() const;
  std::string err() const;

 private:
  void start(std::vector<std::string> command);
  bool poll();

  TemporaryDirectory directory_;
  pid_t pid_ = -1;
  bool ended_ = false;
  int status_ = 0;
};

}  // namespace tovamill::testing
