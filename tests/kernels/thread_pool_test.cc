#include "kernels/cpu/thread_pool.h"

#include <gtest/gtest.h>

#include <atomic>
#include <cstdint>
#include <stdexcept>
#include <vector>

namespace tovamill::cpu {
namespace {

class ThreadPoolTest : public ::testing::TestWithParam<int> {};

TEST_P(ThreadPoolTest, RunsEveryTaskOnceInEveryLoop) {
  ThreadPool pool(GetParam());
  EXPECT_EQ(pool.size(), GetParam());
  for (std::int64_t n : {0, 1, 2, 3, 31, 1000}) {
    for (int loop = 0; loop < 20; ++loop) {
      std::vector<std::atomic<int>> runs(static_cast<std::size_t>(n));
      std::atomic<int> bad_threads = 0;
      pool.run(n, [&](std::int64_t task, int thread) {
        ++runs[static_cast<std::size_t>(task)];
        bad_threads += thread < 0 || thread >= GetParam();
      });
      for (const auto& r : runs) ASSERT_EQ(r, 1);
      ASSERT_EQ(bad_threads, 0);
    }
  }
}

TEST_P(ThreadPoolTest, ThrowsATasksExceptionAndWorksOn) {
  ThreadPool pool(GetParam());
  for (int loop = 0; loop < 10; ++loop) {
    const auto fails = [](std::int64_t task, int) {
      if (task % 7 == 3) throw std::runtime_error("task failed");
    };
    EXPECT_THROW(pool.run(100, fails), std::runtime_error);
    EXPECT_THROW(pool.run(1, [](std::int64_t, int) { throw std::runtime_error("alone"); }),
                 std::runtime_error);
    std::atomic<int> n = 0;
    pool.run(50, [&](std::int64_t, int) { ++n; });
    EXPECT_EQ(n, 50);
  }
}

std::atomic<int> n_started = 0;

TEST_P(ThreadPoolTest, CallsOnStartOnceOnEachThread) {
  n_started = 0;
  {
    const ThreadPool pool(GetParam(), [] { ++n_started; });
  }
  EXPECT_EQ(n_started, GetParam());
}

INSTANTIATE_TEST_SUITE_P(Threads, ThreadPoolTest, ::testing::Values(1, 2, 3, 8));

}  // namespace
}  // namespace tovamill::cpu
