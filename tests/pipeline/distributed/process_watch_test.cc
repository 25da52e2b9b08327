#include "pipeline/distributed/process_watch.h"

#include <gtest/gtest.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

namespace tovamill {
namespace {

pid_t start_sleeper() {
  const pid_t pid = fork();
  if (pid == 0) {
    for (;;) pause();
  }
  return pid;
}

// Waits for the end without taking the process away.
void wait_for_end(pid_t pid) {
  siginfo_t info;
  waitid(P_PID, static_cast<id_t>(pid), &info, WEXITED | WNOWAIT);
}

TEST(ProcessWatch, ReportsTheKilledProcessOnceAndNoOther) {
  const pid_t first = start_sleeper(), second = start_sleeper();
  ProcessWatch watch;
  watch.watch(1, first);
  watch.watch(2, second);
  EXPECT_TRUE(watch.ended().empty());
  kill(second, SIGKILL);
  wait_for_end(second);
  EXPECT_EQ(watch.ended(), std::vector<int>{2});
  EXPECT_TRUE(watch.ended().empty());
  kill(first, SIGKILL);
  wait_for_end(first);
  EXPECT_EQ(watch.ended(), std::vector<int>{1});
  waitpid(first, nullptr, 0);
  waitpid(second, nullptr, 0);
}

TEST(ProcessWatch, AProcessThatIsGoneHasEnded) {
  const pid_t pid = start_sleeper();
  kill(pid, SIGKILL);
  waitpid(pid, nullptr, 0);
  ProcessWatch watch;
  watch.watch(5, pid);
  EXPECT_EQ(watch.ended(), std::vector<int>{5});
  EXPECT_TRUE(watch.ended().empty());
}

TEST(ProcessWatch, WhatIsForgottenIsNotReported) {
  const pid_t pid = start_sleeper();
  ProcessWatch watch;
  watch.watch(1, pid);
  watch.watch(1, getpid());  // replaces
  watch.watch(2, pid);
  watch.forget(2);
  kill(pid, SIGKILL);
  wait_for_end(pid);
  EXPECT_TRUE(watch.ended().empty());
  waitpid(pid, nullptr, 0);
}

}  // namespace
}  // namespace tovamill
