// MPI under mpirun at several numbers of ranks, and with ranks that die.
#include "pipeline/distributed/mpi_session.h"

#include <gtest/gtest.h>

#include "tests/support/runs/subprocess.h"

namespace tovamill {
namespace {

using testing::ProgramResult;

// The root user and more ranks than cores are both welcome. MPI's own leaks are none of ours.
ProgramResult run_ranks(int n_ranks, const std::string& scenario,
                        const std::vector<std::string>& more = {}) {
  std::vector<std::string> environment{
      "OMPI_ALLOW_RUN_AS_ROOT=1", "OMPI_ALLOW_RUN_AS_ROOT_CONFIRM=1",
      "OMPI_MCA_mpi_yield_when_idle=1", "ASAN_OPTIONS=detect_leaks=0"};
  environment.insert(environment.end(), more.begin(), more.end());
  return testing::run_subprocess(
      {"mpirun", "--enable-recovery", "--oversubscribe", "--bind-to", "none", "-n",
       std::to_string(n_ranks), TOVAMILL_MPI_RANKS, scenario},
      environment);
}

bool is_well(const ProgramResult& result, int rank, int n_ranks) {
  const std::string line =
      "rank " + std::to_string(rank) + " of " + std::to_string(n_ranks) + ": ok";
  return result.out.find(line) != std::string::npos;
}

class MpiRanks : public ::testing::TestWithParam<int> {};

TEST_P(MpiRanks, ExchangeMessagesAndBroadcastsWithoutLoss) {
  const ProgramResult result = run_ranks(GetParam(), "exchange");
  EXPECT_EQ(result.exit_code, 0);
  for (int rank = 0; rank < GetParam(); ++rank)
    EXPECT_TRUE(is_well(result, rank, GetParam())) << result.out << result.err;
}

INSTANTIATE_TEST_SUITE_P(OneTwoFour, MpiRanks, ::testing::Values(1, 2, 4));

TEST(MpiSession, OutlivesARankThatIsKilled) {
  const ProgramResult result = run_ranks(4, "death");
  for (int rank = 0; rank < 4; ++rank)
    EXPECT_EQ(is_well(result, rank, 4), rank != 3) << result.out << result.err;
}

// As between hosts: there the others see its connections close.
TEST(MpiSession, OutlivesARankThatIsKilledOverTcp) {
  const ProgramResult result = run_ranks(
      4, "death",
      {"OMPI_MCA_btl=tcp,self", "OMPI_MCA_btl_tcp_if_include=lo", "OMPI_MCA_reachable=weighted"});
  for (int rank = 0; rank < 4; ++rank)
    EXPECT_EQ(is_well(result, rank, 4), rank != 3) << result.out << result.err;
}

TEST(MpiSession, GivesUpWhereARankDiesBeforeMpiInit) {
  const ProgramResult result = run_ranks(3, "late");
  EXPECT_EQ(result.out, "");
  EXPECT_NE(result.err.find("MPI did not start within 3 s"), std::string::npos) << result.err;
}

TEST(MpiSession, NamesItsLibraryWithoutStarting) {
  EXPECT_NE(mpi_library_version().find("MPI "), std::string::npos) << mpi_library_version();
  EXPECT_EQ(mpi_library_version().find(','), std::string::npos);
}

}  // namespace
}  // namespace tovamill
