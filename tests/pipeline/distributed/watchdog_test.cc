#include "pipeline/distributed/watchdog.h"

#include <gtest/gtest.h>
#include <unistd.h>

namespace tovamill {
namespace {

TEST(WatchdogDeathTest, EndsTheProcessWithItsLineAndCode) {
  GTEST_FLAG_SET(death_test_style, "threadsafe");
  const auto hang = [] {
    const Watchdog watchdog(0.01, 75, "it took too long");
    for (;;) pause();
  };
  EXPECT_EXIT(hang(), ::testing::ExitedWithCode(75), "it took too long");
}

TEST(WatchdogDeathTest, ASoonerDeadlineIsHeeded) {
  GTEST_FLAG_SET(death_test_style, "threadsafe");
  const auto hang = [] {
    Watchdog watchdog(1e6, 3, "");
    watchdog.rearm(0.01);
    for (;;) pause();
  };
  EXPECT_EXIT(hang(), ::testing::ExitedWithCode(3), "");
}

TEST(Watchdog, DoesNothingOnceItIsGone) {
  {
    Watchdog watchdog(1e6, 3, "");
    watchdog.rearm(2e6);
  }
  SUCCEED();
}

}  // namespace
}  // namespace tovamill
