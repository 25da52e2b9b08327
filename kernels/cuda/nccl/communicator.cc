#include "kernels/cuda/nccl/communicator.h"

#include <cstring>
#include <thread>

namespace tovamill::cuda {
namespace {

constexpr auto kPause = std::chrono::microseconds(200);

bool has_failed(ncclResult_t result) { return result != ncclSuccess && result != ncclInProgress; }

}  // namespace

void Communicator::join(const NcclGroupId& id, int rank, int n_ranks, int most_blocks) {
  ncclUniqueId unique;
  static_assert(sizeof(unique.internal) == sizeof(NcclGroupId::bytes));
  std::memcpy(unique.internal, id.bytes.data(), sizeof(unique.internal));
  ncclConfig_t config = NCCL_CONFIG_INITIALIZER;
  config.blocking = 0;  // so that a rank that never comes cannot hold this one
  if (most_blocks > 0) config.maxCTAs = most_blocks;
  std::unique_lock lock(mutex_);
  drain(lock, ncclCommInitRankConfig(&communicator_, n_ranks, unique, rank, &config),
        "the ranks do not all come");
}

// Until the call that gave `result` is done.
void Communicator::drain(std::unique_lock<std::mutex>& lock, ncclResult_t result,
                         const std::string& what) {
  const auto start = Clock::now();
  while (result == ncclInProgress) {
    lock.unlock();
    pause(start, what);
    lock.lock();
    if (communicator_ == nullptr) throw NcclGroupError(what + ": it was broken off");
    const ncclResult_t asked = ncclCommGetAsyncError(communicator_, &result);
    if (asked != ncclSuccess) result = asked;
  }
  if (result != ncclSuccess) throw NcclGroupError(what + ": " + ncclGetErrorString(result));
}

void Communicator::wait(const Event& event, const std::string& what) {
  const auto start = Clock::now();
  while (!event.is_reached()) {
    if (const std::string why = failure(); !why.empty()) throw NcclGroupError(what + ": " + why);
    pause(start, what);
  }
}

void Communicator::pause(Clock::time_point start, const std::string& what) const {
  const std::chrono::duration<double> gone = Clock::now() - start;
  if (gone.count() > timeout_s_)
    throw NcclGroupError(what + ": nothing has come for " +
                         std::to_string(static_cast<int>(timeout_s_)) + " s");
  if (on_poll_) on_poll_();
  std::this_thread::sleep_for(kPause);
}

void Communicator::finish() {
  run([](ncclComm_t c) { return ncclCommFinalize(c); }, "the end");
  const std::lock_guard lock(mutex_);
  const ncclResult_t result = ncclCommDestroy(std::exchange(communicator_, nullptr));
  if (result != ncclSuccess) throw NcclGroupError(ncclGetErrorString(result));
}

std::string Communicator::failure() {
  const std::lock_guard lock(mutex_);
  if (communicator_ == nullptr) return "it was broken off";
  ncclResult_t result = ncclSuccess;
  const ncclResult_t asked = ncclCommGetAsyncError(communicator_, &result);
  if (asked != ncclSuccess) result = asked;
  return has_failed(result) ? ncclGetErrorString(result) : "";
}

void Communicator::abort() noexcept {
  const std::lock_guard lock(mutex_);
  if (communicator_ != nullptr) ncclCommAbort(std::exchange(communicator_, nullptr));
}

}  // namespace tovamill::cuda
