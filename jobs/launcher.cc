#include "jobs/launcher.h"

#include <charconv>
#include <cstdlib>

#include "kernels/error.h"

namespace tovamill {
namespace {

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
  const bool is_step = environment("SLURM_STEP_ID") && environment("SLURM_PROCID");
  if (const auto n = number("OMPI_COMM_WORLD_SIZE")) {
    launcher.name = "mpirun";
    launcher.n_tasks = *n;
  } else if (is_step) {
    launcher.name = "srun";
    launcher.n_tasks = number("SLURM_STEP_NUM_TASKS").value_or(number("SLURM_NTASKS").value_or(1));
  } else if (const auto pmi = number("PMI_SIZE")) {
    launcher.name = "PMI";
    launcher.n_tasks = *pmi;
  }
  launcher.threads = number("SLURM_CPUS_PER_TASK");
  if (!launcher.threads) launcher.threads = number("OMP_NUM_THREADS");
  return launcher;
}

void check_single_process(const Launcher& launcher) {
  if (launcher.n_tasks <= 1) return;
  throw Error(ExitCode::usage,
              "the launcher (" + launcher.name + ") started " + std::to_string(launcher.n_tasks) +
                  " tasks, but this version runs as one process and each would do all the work: "
                  "start one task, with --threads for its cores");
}

}  // namespace tovamill
