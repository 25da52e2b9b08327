#include "pipeline/distributed/rank_info.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include <algorithm>

namespace tovamill {
namespace {

ProcessFacts facts_of(std::uint64_t host, std::uint64_t cores) {
  ProcessFacts facts;
  facts.host_identity = host;
  facts.pid = 100;
  facts.host[0] = 'h';
  facts.cores[0] = cores;
  return facts;
}

TEST(RankInfo, CountsRanksAndCoresOfEachHost) {
  const std::vector<ProcessFacts> facts{facts_of(9, 0b0011), facts_of(4, 0b1111),
                                        facts_of(9, 0b0110), facts_of(9, 0b0011)};
  const std::vector<RankInfo> ranks = place_ranks(facts);
  ASSERT_EQ(ranks.size(), 4u);
  const int local[] = {0, 0, 1, 2}, n_local[] = {3, 1, 3, 3}, host[] = {0, 1, 0, 0};
  const int cores[] = {2, 4, 2, 2}, host_cores[] = {3, 4, 3, 3};
  for (int r = 0; r < 4; ++r) {
    const RankInfo& rank = ranks[static_cast<std::size_t>(r)];
    EXPECT_EQ(rank.rank, r);
    EXPECT_EQ(rank.pid, 100);
    EXPECT_EQ(rank.host, "h");
    EXPECT_EQ(rank.local_rank, local[r]);
    EXPECT_EQ(rank.n_local, n_local[r]);
    EXPECT_EQ(rank.host_index, host[r]);
    EXPECT_EQ(rank.n_hosts, 2);
    EXPECT_EQ(rank.n_cores, cores[r]);
    EXPECT_EQ(rank.n_host_cores, host_cores[r]);
  }
}

TEST(RankInfo, EmptyMasksAndNamesDoNoHarm) {
  std::vector<ProcessFacts> facts{facts_of(1, 0)};
  facts[0].host.fill('x');  // without an end
  const std::vector<RankInfo> ranks = place_ranks(facts);
  EXPECT_EQ(ranks.at(0).n_cores, 1);
  EXPECT_EQ(ranks.at(0).n_host_cores, 1);
  EXPECT_EQ(ranks.at(0).host.size(), 256u);
  EXPECT_TRUE(place_ranks({}).empty());
}

TEST(RankInfo, ThisProcessIsDescribedTheSameEachTime) {
  const ProcessFacts facts = facts_of_this_process();
  EXPECT_EQ(facts.pid, getpid());
  EXPECT_EQ(facts.host_identity, facts_of_this_process().host_identity);
  EXPECT_NE(facts.host_identity, 0u);
  EXPECT_GE(place_ranks(std::span(&facts, 1)).at(0).n_cores, 1);
}

}  // namespace
}  // namespace tovamill
