// Which launcher the environment tells of, and what each is told.
#include "jobs/command_line/launcher.h"

#include <gtest/gtest.h>

#include "kernels/types/error.h"
#include "tests/support/error_of.h"

namespace tovamill {
namespace {

using testing::contains;
using testing::error_of;
using Variables = std::map<std::string, std::string>;

Environment environment_of(Variables variables) {
  return [variables](const std::string& name) -> std::optional<std::string> {
    const auto found = variables.find(name);
    return found == variables.end() ? std::nullopt : std::optional(found->second);
  };
}

TEST(Launcher, OneTaskIsWelcomeAlsoInsideALargerJob) {
  const std::vector<Variables> single{{},
                                      {{"OMPI_COMM_WORLD_SIZE", "1"}},
                                      {{"SLURM_JOB_ID", "7"},
                                       {"SLURM_NTASKS", "4"},
                                       {"SLURM_PROCID", "0"}},  // a batch script without srun
                                      {{"SLURM_STEP_ID", "0"},
                                       {"SLURM_PROCID", "0"},
                                       {"SLURM_STEP_NUM_TASKS", "1"},
                                       {"SLURM_NTASKS", "4"}}};
  for (const auto& variables : single) {
    const Launcher launcher = find_launcher(environment_of(variables));
    EXPECT_EQ(launcher.n_tasks, 1);
    EXPECT_TRUE(may_print(launcher));
    EXPECT_NO_THROW(check_launch(launcher));
  }
}

TEST(Launcher, ThreadsComeFromSlurmThenOpenMp) {
  EXPECT_EQ(
      find_launcher(environment_of({{"OMP_NUM_THREADS", "3,2"}, {"SLURM_CPUS_PER_TASK", "8"}}))
          .threads,
      8);
  EXPECT_EQ(find_launcher(environment_of({{"OMP_NUM_THREADS", "3,2"}})).threads, 3);
  EXPECT_EQ(find_launcher(environment_of({{"OMP_NUM_THREADS", "all"}})).threads, std::nullopt);
  EXPECT_EQ(find_launcher(environment_of({{"SLURM_CPUS_PER_TASK", "0"}})).threads, std::nullopt);
}

const Variables kMpirun{{"OMPI_COMM_WORLD_SIZE", "4"}, {"OMPI_COMM_WORLD_RANK", "2"},
                        {"PMIX_NAMESPACE", "123"},     {"PMIX_RANK", "2"},
                        {"SLURM_STEP_ID", "0"},        {"SLURM_PROCID", "1"}};  // its daemon's
const Variables kSrun{{"SLURM_STEP_ID", "0"},
                      {"SLURM_PROCID", "3"},
                      {"SLURM_STEP_NUM_TASKS", "6"},
                      {"SLURM_NTASKS", "8"}};

TEST(Launcher, RanksAndTasksAreThoseOfTheInnermostLauncher) {
  const Launcher mpirun = find_launcher(environment_of(kMpirun));
  EXPECT_EQ(mpirun.name, "mpirun");
  EXPECT_EQ(mpirun.n_tasks, 4);
  EXPECT_EQ(mpirun.rank, 2);
  EXPECT_TRUE(mpirun.has_pmix);
  EXPECT_NO_THROW(check_launch(mpirun));
  EXPECT_FALSE(may_print(mpirun));

  Variables variables = kSrun;
  variables["PMIX_NAMESPACE"] = "slurm.pmix.5.0";
  variables["PMIX_RANK"] = "0";
  const Launcher srun = find_launcher(environment_of(variables));
  EXPECT_EQ(srun.name, "srun");
  EXPECT_EQ(srun.n_tasks, 6);
  EXPECT_EQ(srun.rank, 0);
  EXPECT_NO_THROW(check_launch(srun));
  EXPECT_TRUE(may_print(srun));
}

TEST(Launcher, SrunWithoutPmixIsRefused) {
  const Launcher launcher = find_launcher(environment_of(kSrun));
  EXPECT_EQ(launcher.rank, 3);
  EXPECT_FALSE(may_print(launcher));
  const std::string message = error_of([&] { check_launch(launcher); }, ExitCode::usage);
  EXPECT_EQ(message,
            "srun started 6 tasks without PMIx, each would do all the work alone: start with srun "
            "--mpi=pmix or jobs/launch.sh");
}

TEST(Launcher, MpichsLauncherIsRefused) {
  const Launcher launcher =
      find_launcher(environment_of({{"PMI_SIZE", "2"}, {"PMI_RANK", "1"}, {"PMI_FD", "5"}}));
  EXPECT_EQ(launcher.rank, 1);
  const std::string message = error_of([&] { check_launch(launcher); }, ExitCode::usage);
  EXPECT_TRUE(contains(message, "Open MPI's mpirun")) << message;
}

TEST(Launcher, AWorldOfAnotherSizeIsRefused) {
  const Launcher launcher = find_launcher(environment_of(kMpirun));
  EXPECT_NO_THROW(check_ranks(launcher, 4));
  const std::string message = error_of([&] { check_ranks(launcher, 1); }, ExitCode::usage);
  EXPECT_TRUE(contains(message, "mpirun started 4 tasks, but MPI has a world of 1")) << message;
}

TEST(Launcher, AProcessAloneInALargerJobIsNoted) {
  const auto note = [](Variables variables) {
    return note_on_launch(find_launcher(environment_of(variables)));
  };
  EXPECT_TRUE(contains(note({{"SLURM_JOB_ID", "7"}, {"SLURM_NTASKS", "4"}, {"SLURM_PROCID", "0"}}),
                       "this Slurm job has 4 tasks"));
  EXPECT_EQ(note({{"SLURM_JOB_ID", "7"}, {"SLURM_NTASKS", "1"}}), "");
  EXPECT_EQ(note({{"SLURM_NTASKS", "4"}}), "");
  EXPECT_EQ(note({}), "");
  Variables step = kSrun;
  step["SLURM_JOB_ID"] = "7";
  EXPECT_EQ(note(step), "");
}

TEST(Launcher, BrokenNumbersAreTakenForAbsent) {
  const Launcher launcher = find_launcher(
      environment_of({{"OMPI_COMM_WORLD_SIZE", "4"}, {"OMPI_COMM_WORLD_RANK", "-1x"}}));
  EXPECT_EQ(launcher.rank, 0);
  EXPECT_EQ(find_launcher(environment_of({{"OMPI_COMM_WORLD_SIZE", "many"}})).n_tasks, 1);
}

TEST(Launcher, KnowsWhatTheLaunchScriptTells) {
  const Launcher launcher = find_launcher(environment_of({{"TOVAMILL_LAUNCH_ID", "n1-77"},
                                                          {"TOVAMILL_EXIT_FILE", "exit-code"},
                                                          {"TOVAMILL_DETACH_PMIX", "1"}}));
  EXPECT_EQ(launcher.launch_id, "n1-77");
  EXPECT_EQ(launcher.exit_file, "exit-code");
  EXPECT_TRUE(launcher.detach_pmix);
  EXPECT_FALSE(find_launcher(environment_of({{"TOVAMILL_DETACH_PMIX", "0"}})).detach_pmix);
}

}  // namespace
}  // namespace tovamill
