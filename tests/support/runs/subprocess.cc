#include "tests/support/runs/subprocess.h"

#include <sys/wait.h>

#include <cstdlib>
#include <fstream>
#include <sstream>
#include <stdexcept>

#include "tests/support/temporary_directory.h"

namespace tovamill::testing {
namespace {

std::string quoted(const std::string& word) {
  std::string text = "'";
  for (const char c : word) text += c == '\'' ? std::string("'\\''") : std::string(1, c);
  return text + "'";
}

constexpr const char* kLauncherVariables[] = {"OMPI_COMM_WORLD_SIZE",
                                              "OMPI_COMM_WORLD_RANK",
                                              "PMIX_NAMESPACE",
                                              "PMIX_RANK",
                                              "PMI_SIZE",
                                              "PMI_RANK",
                                              "SLURM_JOB_ID",
                                              "SLURM_NTASKS",
                                              "SLURM_STEP_ID",
                                              "SLURM_PROCID",
                                              "SLURM_CPUS_PER_TASK",
                                              "OMP_NUM_THREADS",
                                              "TOVAMILL_LAUNCH_ID",
                                              "TOVAMILL_EXIT_FILE",
                                              "TOVAMILL_DETACH_PMIX"};

}  // namespace

ProgramResult run_subprocess(const std::vector<std::string>& command,
                             const std::vector<std::string>& environment,
                             const std::string& out_to) {
  const TemporaryDirectory directory;
  const std::string out = out_to.empty() ? (directory.path() / "out").string() : out_to;
  const std::string err = (directory.path() / "err").string();
  std::string line = "env";
  for (const char* variable : kLauncherVariables) line += std::string(" -u ") + variable;
  for (const std::string& setting : environment) line += " " + quoted(setting);
  for (const std::string& word : command) line += " " + quoted(word);
  line += " </dev/null >" + quoted(out) + " 2>" + quoted(err);
  const int status = std::system(line.c_str());
  if (status == -1) throw std::runtime_error("cannot run " + line);
  return {WIFEXITED(status) && WEXITSTATUS(status) < 126 ? WEXITSTATUS(status) : -1,
          out_to.empty() ? content_of(out) : "", content_of(err)};
}

ProgramResult run_tovamill(const std::vector<std::string>& arguments,
                           const std::vector<std::string>& environment, const std::string& out_to) {
  std::vector<std::string> command{TOVAMILL_PROGRAM};
  command.insert(command.end(), arguments.begin(), arguments.end());
  return run_subprocess(command, environment, out_to);
}

}  // namespace tovamill::testing
