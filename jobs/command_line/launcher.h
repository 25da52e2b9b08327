// What the launcher's environment says of this process: how many tasks were started, and the
// threads each may use.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <optional>
#include <string>

namespace tovamill {

// Finds an environment variable; nullopt where it is not set. `getenv` outside tests.
using Environment = std::function<std::optional<std::string>(const std::string& name)>;
Environment process_environment();

struct Launcher {
  std::string name;  // "mpirun", "srun", "PMI" (MPICH's); empty where the process started plainly
  std::int32_t n_tasks = 1;
  std::int32_t rank = 0;
  bool has_pmix = false;  // Open MPI finds its other ranks through it
  // SLURM_CPUS_PER_TASK, else OMP_NUM_THREADS (its first number)
  std::optional<std::int32_t> threads;
  std::int32_t n_slurm_tasks = 1;  // of the Slurm job around, whoever started this process
  // What jobs/launch.sh sets, and no one else need: TOVAMILL_LAUNCH_ID comes back in status.json,
  // TOVAMILL_EXIT_FILE is where rank 0 writes its exit code (mpirun does not pass it on), and
  // TOVAMILL_DETACH_PMIX=1 is MpiOptions::detach_pmix.
  std::string launch_id, exit_file;
  std::string job;  // TOVAMILL_JOB, else the Slurm job: equal for a start and its restarts
  std::int32_t n_restarts = 0;  // TOVAMILL_RESTARTS, SLURM_RESTART_COUNT: this goes on with a run
  bool detach_pmix = false;
  std::map<std::string, std::string> variables;  // those looked at that are set
};

// A batch script without srun is one process whatever SLURM_NTASKS says: only what a job step sets
// counts.
Launcher find_launcher(const Environment& environment);

// Before MPI_Init, which would hang, abort, or take each task for a run of its own: throws
// Error(usage) where several tasks were started by what Open MPI cannot work with.
void check_launch(const Launcher& launcher);
// After MPI_Init: throws Error(usage) where MPI has another number of ranks than were started.
void check_ranks(const Launcher& launcher, int n_ranks);
// What may well be an oversight: a job of several tasks in which this process was started without
// srun and is alone. Empty where there is nothing to say.
std::string note_on_launch(const Launcher& launcher);
// Writes the exit code where jobs/launch.sh looks for it, if it started this and rank 0 is here.
void tell_exit_code(const Launcher& launcher, int code);
// Whether this task is the one that says what all of them would say.
bool may_print(const Launcher& launcher);

}  // namespace tovamill
