// Reports at once when a process of this machine ends, whatever the cause: MPI does not.
#pragma once

#include <vector>

namespace tovamill {

// Uses pidfd_open (Linux 5.3). Without it, or without a free descriptor, nothing is reported, and a
// dead rank is detected by its missing heartbeats alone.
class ProcessWatch {
 public:
  ProcessWatch() = default;
  ~ProcessWatch();
  ProcessWatch(const ProcessWatch&) = delete;
  ProcessWatch& operator=(const ProcessWatch&) = delete;

  // `pid` must be of this process's own namespace (RankInfo::host_identity is equal). A process
  // that does not exist counts as ended. A key that is watched already gets the new process.
  void watch(int key, int pid);
  void forget(int key);
  // The keys of processes that ended since the last call, each once. Does not wait.
  std::vector<int> ended();

 private:
  struct Watched {
    int key = 0;
    int descriptor = -1;  // -1: was gone when the watch began
  };
  std::vector<Watched> watched_;
};

}  // namespace tovamill
