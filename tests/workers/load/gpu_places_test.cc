#include "workers/load/gpu_places.h"

#include <gtest/gtest.h>

#include "tests/support/error_of.h"

namespace tovamill {
namespace {

using Gpus = std::vector<std::uint64_t>;

// Ranks that can use these GPUs, named by numbers.
std::vector<RankInfo> ranks_with(const std::vector<Gpus>& gpus) {
  std::vector<RankInfo> ranks(gpus.size());
  for (std::size_t r = 0; r < gpus.size(); ++r) {
    ranks[r].rank = static_cast<int>(r);
    ranks[r].host = "node1";
    ranks[r].gpus = gpus[r];
  }
  return ranks;
}

// The GPU that each rank computes on; 0 for none.
Gpus taken(const std::vector<RankInfo>& ranks, int first_worker, int ranks_per_gpu) {
  const std::vector<GpuPlace> places = place_on_gpus(ranks, first_worker, ranks_per_gpu);
  Gpus all;
  for (std::size_t r = 0; r < ranks.size(); ++r) {
    all.push_back(places[r].gpu < 0 ? 0 : ranks[r].gpus[static_cast<std::size_t>(places[r].gpu)]);
  }
  return all;
}

TEST(GpuPlaces, EachRankTakesOneOfItsOwn) {
  EXPECT_EQ(taken(ranks_with({{1, 2}, {1, 2}}), 0, 1), (Gpus{1, 2}));
  EXPECT_EQ(taken(ranks_with({{7}, {8}, {9}}), 0, 1), (Gpus{7, 8, 9}));           // bound by Slurm
  EXPECT_EQ(taken(ranks_with({{1, 2}, {1, 2}, {5, 6}}), 0, 1), (Gpus{1, 2, 5}));  // two hosts
  EXPECT_EQ(taken(ranks_with({{1, 2}, {1, 2}, {1, 2}}), 1, 1), (Gpus{0, 1, 2}));
  EXPECT_EQ(taken(ranks_with({{1}, {1}, {1}}), 0, 1), (Gpus{1, 0, 0}));
}

TEST(GpuPlaces, RanksThatMayShareAreSpreadEvenly) {
  const auto ranks = ranks_with({{1, 2}, {1, 2}, {1, 2}});
  EXPECT_EQ(taken(ranks, 0, 2), (Gpus{1, 2, 1}));
  const std::vector<GpuPlace> places = place_on_gpus(ranks, 0, 2);
  EXPECT_EQ(places[0].n_on_gpu, 2);
  EXPECT_EQ(places[1].n_on_gpu, 1);
  EXPECT_EQ(places[2].n_on_gpu, 2);
  EXPECT_NO_THROW(check_gpus(ranks, 0, 2));
}

TEST(GpuPlaces, AutoTakesGpusWhereThereAreAny) {
  EXPECT_EQ(choose_device(std::nullopt, ranks_with({{}, {}}), 0), DeviceKind::cpu);
  EXPECT_EQ(choose_device(std::nullopt, ranks_with({{}, {1}}), 0), DeviceKind::cuda);
  EXPECT_EQ(choose_device(std::nullopt, ranks_with({{1}, {}}), 1), DeviceKind::cpu);
  EXPECT_EQ(choose_device(DeviceKind::cpu, ranks_with({{1}}), 0), DeviceKind::cpu);
  EXPECT_EQ(choose_device(DeviceKind::cuda, ranks_with({{}}), 0), DeviceKind::cuda);
}

TEST(GpuPlaces, ARankWithoutAGpuIsNamed) {
  const auto shared = ranks_with({{1}, {1}});
  const std::string two = testing::error_of([&] { check_gpus(shared, 0, 1); }, ExitCode::no_device);
  EXPECT_NE(two.find("rank 1 on node1 can use has a rank already"), std::string::npos) << two;
  EXPECT_NE(two.find("--ranks-per-gpu"), std::string::npos) << two;
  const auto missing = ranks_with({{1}, {}});
  const std::string none =
      testing::error_of([&] { check_gpus(missing, 0, 1); }, ExitCode::no_device);
  EXPECT_NE(none.find("rank 1 on node1 can use no GPU"), std::string::npos) << none;
  EXPECT_NO_THROW(check_gpus(ranks_with({{}, {1}}), 1, 1));  // rank 0 only coordinates
}

}  // namespace
}  // namespace tovamill
