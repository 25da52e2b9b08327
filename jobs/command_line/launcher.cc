#include "jobs/command_line/launcher.h"

#include <algorithm>
#include <charconv>
#include <cstdlib>
#include <fstream>

#include "io/files/system_facts.h"
#include "kernels/types/error.h"
#include "kernels/types/format.h"

namespace tovamill {
namespace {

// A rank, or nothing.
std::optional<std::int32_t> rank_in(const std::optional<std::string>& text) {
  std::int32_t number = 0;
  if (!text) return std::nullopt;
  const auto [end, error] = std::from_chars(text->data(), text->data() + text->size(), number);
  if (error != std::errc() || end != text->data() + text->size() || number < 0) return std::nullopt;
  return number;
}

// The whole positive number that `text` begins with; "2,4" of OMP_NUM_THREADS gives 2.
std::optional<std::int32_t> leading_number(const std::optional<std::string>& text) {
  std::int32_t number = 0;
  if (!text) return std::nullopt;
  const auto [end, error] = std::from_chars(text->data(), text->data() + text->size(), number);
  const bool complete = end == text->data() + text->size() || *end == ',';
  if (error != std::errc() || !complete || number < 1) return std::nullopt;
  return number;
}

constexpr const char* kVariables[] = {"OMPI_COMM_WORLD_SIZE",
                                      "OMPI_COMM_WORLD_RANK",
                                      "OMPI_COMM_WORLD_LOCAL_RANK",
                                      "PMIX_RANK",
                                      "PMIX_NAMESPACE",
                                      "PMI_SIZE",
                                      "PMI_RANK",
                                      "SLURM_JOB_ID",
                                      "SLURM_STEP_ID",
                                      "SLURM_NTASKS",
                                      "SLURM_STEP_NUM_TASKS",
                                      "SLURM_PROCID",
                                      "SLURM_LOCALID",
                                      "SLURM_CPUS_PER_TASK",
                                      "OMP_NUM_THREADS",
                                      "TOVAMILL_LAUNCH_ID",
                                      "TOVAMILL_EXIT_FILE",
                                      "TOVAMILL_DETACH_PMIX",
                                      "TOVAMILL_RESTARTS",
                                      "SLURM_RESTART_COUNT",
                                      "CUDA_VISIBLE_DEVICES"};

}  // namespace

Environment process_environment() {
  return [](const std::string& name) -> std::optional<std::string> {
    const char* value = std::getenv(name.c_str());
    return value == nullptr ? std::nullopt : std::optional<std::string>(value);
  };
}

Launcher find_launcher(const Environment& environment) {
  Launcher launcher;
  for (const char* name : kVariables) {
    if (const auto value = environment(name)) launcher.variables[name] = *value;
  }
  const auto number = [&](const char* name) { return leading_number(environment(name)); };
  const auto rank = [&](const char* name) { return rank_in(environment(name)); };
  launcher.has_pmix = environment("PMIX_NAMESPACE").has_value();
  const bool is_step = environment("SLURM_STEP_ID") && environment("SLURM_PROCID");
  if (const auto n = number("OMPI_COMM_WORLD_SIZE")) {
    launcher.name = "mpirun";
    launcher.n_tasks = *n;
    launcher.rank = rank("OMPI_COMM_WORLD_RANK").value_or(rank("PMIX_RANK").value_or(0));
  } else if (is_step) {
    launcher.name = "srun";
    launcher.n_tasks = number("SLURM_STEP_NUM_TASKS").value_or(number("SLURM_NTASKS").value_or(1));
    launcher.rank = rank("PMIX_RANK").value_or(rank("SLURM_PROCID").value_or(0));
  } else if (const auto pmi = number("PMI_SIZE")) {
    launcher.name = "PMI";
    launcher.n_tasks = *pmi;
    launcher.rank = rank("PMI_RANK").value_or(0);
  }
  launcher.threads = number("SLURM_CPUS_PER_TASK");
  if (!launcher.threads) launcher.threads = number("OMP_NUM_THREADS");
  if (environment("SLURM_JOB_ID")) launcher.n_slurm_tasks = number("SLURM_NTASKS").value_or(1);
  launcher.launch_id = environment("TOVAMILL_LAUNCH_ID").value_or("");
  launcher.exit_file = environment("TOVAMILL_EXIT_FILE").value_or("");
  launcher.job = environment("TOVAMILL_JOB").value_or(environment("SLURM_JOB_ID").value_or(""));
  for (const char* name : {"TOVAMILL_RESTARTS", "SLURM_RESTART_COUNT"})
    launcher.n_restarts = std::max(launcher.n_restarts, number(name).value_or(0));
  launcher.detach_pmix = environment("TOVAMILL_DETACH_PMIX") == "1";
  return launcher;
}

void check_launch(const Launcher& launcher) {
  if (launcher.n_tasks <= 1) return;
  const std::string started = " started " + with_thousands(launcher.n_tasks) + " tasks";
  if (launcher.name == "PMI") {
    throw Error(ExitCode::usage,
                "a launcher of MPICH's kind" + started +
                    ", each would do all the work alone: start with Open MPI's mpirun (try "
                    "mpirun.openmpi) or " +
                    launch_script());
  }
  if (launcher.name == "srun" && !launcher.has_pmix) {
    throw Error(ExitCode::usage,
                "srun" + started +
                    " without PMIx, each would do all the work alone: start with srun --mpi=pmix "
                    "or " +
                    launch_script());
  }
}

void check_ranks(const Launcher& launcher, int n_ranks) {
  if (launcher.n_tasks == n_ranks) return;
  throw Error(ExitCode::usage,
              launcher.name + " started " + with_thousands(launcher.n_tasks) +
                  " tasks, but MPI has a world of " + with_thousands(n_ranks) +
                  ": start with the mpirun of the Open MPI that tovamill --version names, with "
                  "srun --mpi=pmix, or with " +
                  launch_script());
}

std::string note_on_launch(const Launcher& launcher) {
  if (!launcher.name.empty() || launcher.n_slurm_tasks <= 1) return "";
  return "this Slurm job has " + with_thousands(launcher.n_slurm_tasks) +
         " tasks, and this is one process alone: " + launch_script() +
         " or srun --mpi=pmix uses them all";
}

void tell_exit_code(const Launcher& launcher, int code) {
  if (!launcher.exit_file.empty() && launcher.rank == 0)
    std::ofstream(launcher.exit_file) << code << "\n";
}

bool may_print(const Launcher& launcher) { return launcher.n_tasks <= 1 || launcher.rank == 0; }

}  // namespace tovamill
