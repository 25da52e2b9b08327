// This process as a rank of a run: from the launcher's environment to the exit code that the
// launcher shall see.
#pragma once

#include <functional>
#include <memory>

#include "jobs/command_line/launcher.h"
#include "pipeline/distributed/local_channel.h"
#include "pipeline/distributed/mpi_session.h"
#include "workers/options/run_options.h"
#include "workers/run/run_launch.h"

namespace tovamill {

class RunProcess {
 public:
  // Starts MPI where there are several ranks, and settles what the launch decides in `options`:
  // threads, the Slurm job, whether --overwrite was obeyed by an earlier start already. Throws
  // Error(usage) where the launcher cannot work. `prepare` is done by rank 0, however long it
  // takes, while the others wait; what it throws ends all of them.
  explicit RunProcess(RunOptions& options, const std::function<void()>& prepare = {});

  // Runs `body`, tells what it throws, and ends MPI as the launch then says. Returns the exit code,
  // or leaves the process where MPI can no longer end.
  int run(const std::function<void(RunLaunch&)>& body);

 private:
  void start_session(RunOptions& options, const std::function<void()>& prepare);
  void prepare_together(const std::function<void()>& prepare);
  void share_nccl_group(const RunOptions& options);
  void copy_model(RunOptions& options);
  int leave(int code);

  Launcher launcher_;
  LocalChannel lone_;
  std::unique_ptr<MpiSession> session_;
  RunLaunch launch_;
};

}  // namespace tovamill
