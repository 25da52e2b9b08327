#include "workers/load/thread_choice.h"

#include <gtest/gtest.h>

namespace tovamill {
namespace {

TEST(ChooseThreads, WhatIsAskedForWinsUncut) {
  EXPECT_EQ(
      choose_threads(
          {.asked = 9, .from_environment = 3, .n_host_cores = 8, .n_own_cores = 4, .n_local = 2}),
      9);
}

TEST(ChooseThreads, TheEnvironmentIsCutToTheRanksOwnCores) {
  EXPECT_EQ(choose_threads({.from_environment = 3, .n_host_cores = 8, .n_own_cores = 8}), 3);
  EXPECT_EQ(choose_threads({.from_environment = 64, .n_host_cores = 8, .n_own_cores = 4}), 4);
}

TEST(ChooseThreads, RanksShareTheCoresOfTheirHost) {
  // Bound to nothing, to a socket of 4 that two share, to one core each; more ranks than cores.
  EXPECT_EQ(choose_threads({.n_host_cores = 8, .n_own_cores = 8, .n_local = 4}), 2);
  EXPECT_EQ(choose_threads({.n_host_cores = 8, .n_own_cores = 4, .n_local = 4}), 2);
  EXPECT_EQ(choose_threads({.n_host_cores = 4, .n_own_cores = 1, .n_local = 4}), 1);
  EXPECT_EQ(choose_threads({.n_host_cores = 2, .n_own_cores = 2, .n_local = 5}), 1);
  EXPECT_EQ(choose_threads({.n_host_cores = 64, .n_own_cores = 4, .n_local = 2}), 4);
}

TEST(ChooseThreads, AnAloneRankTakesAllItsCoresAndAtLeastOne) {
  EXPECT_EQ(choose_threads({.n_host_cores = 16, .n_own_cores = 16}), 16);
  EXPECT_EQ(choose_threads({.n_host_cores = 0, .n_own_cores = 0, .n_local = 0}), 1);
}

}  // namespace
}  // namespace tovamill
