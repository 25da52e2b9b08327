#include "pipeline/distributed/process_watch.h"

#include <poll.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>

namespace tovamill {
namespace {

int open_process(int pid) { return static_cast<int>(syscall(SYS_pidfd_open, pid, 0u)); }

}  // namespace

ProcessWatch::~ProcessWatch() {
  for (const Watched& w : watched_) {
    if (w.descriptor >= 0) close(w.descriptor);
  }
}

void ProcessWatch::watch(int key, int pid) {
  forget(key);
  const int descriptor = open_process(pid);
  if (descriptor >= 0 || errno == ESRCH) watched_.push_back({key, descriptor});
}

void ProcessWatch::forget(int key) {
  std::erase_if(watched_, [key](const Watched& w) {
    if (w.key != key) return false;
    if (w.descriptor >= 0) close(w.descriptor);
    return true;
  });
}

std::vector<int> ProcessWatch::ended() {
  std::vector<pollfd> polls;
  for (const Watched& w : watched_) polls.push_back({w.descriptor, POLLIN, 0});
  if (!polls.empty() && poll(polls.data(), polls.size(), 0) < 0) return {};  // until the next call
  std::vector<int> keys;
  for (std::size_t i = 0; i < watched_.size(); ++i) {
    if (watched_[i].descriptor < 0 || polls[i].revents != 0) keys.push_back(watched_[i].key);
  }
  for (const int key : keys) forget(key);
  return keys;
}

}  // namespace tovamill
