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
  std::string name;  // "mpirun", "srun", "PMI"; empty where the process was started plainly
  std::int32_t n_tasks = 1;
  std::optional<std::int32_t>
      threads;  // SLURM_CPUS_PER_TASK, else OMP_NUM_THREADS (its first number)
  std::map<std::string, std::string> variables;  // those looked at that are set
};

// A batch script without srun is one process whatever SLURM_NTASKS says: only what a job step sets
// counts.
Launcher find_launcher(const Environment& environment);

// Throws Error(usage) where several tasks were started: each would do all the work on its own.
void check_single_process(const Launcher& launcher);

}  // namespace tovamill
