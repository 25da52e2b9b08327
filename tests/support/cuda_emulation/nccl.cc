#include "tests/support/cuda_emulation/nccl.h"

#include <cstring>
#include <map>
#include <string>
#include <utility>
#include <vector>

struct ncclComm {
  std::string id;
  int rank = 0;
  int n_broadcasts = 0;
  ncclResult_t state = ncclInProgress;  // as one that is not blocking begins
};

namespace {

int n_alive = 0, n_broadcasts = 0, first_broken = 0;
// What the rank that reads has sent, by group and number.
std::map<std::pair<std::string, int>, std::vector<std::byte>> sent;

}  // namespace

namespace tovamill::emulation {

cudaError_t enqueue(cudaStream_t stream, std::function<void()> work);

void break_broadcasts(int n) {
  first_broken = n;
  n_broadcasts = 0;
}

int n_communicators() { return n_alive; }

}  // namespace tovamill::emulation

ncclResult_t ncclGetUniqueId(ncclUniqueId* id) {
  static int n_made = 0;
  std::memset(id->internal, 0, sizeof id->internal);
  const std::string text = "group " + std::to_string(++n_made);
  std::memcpy(id->internal, text.data(), text.size());
  return ncclSuccess;
}

ncclResult_t ncclGetVersion(int* version) { return *version = 22809, ncclSuccess; }

const char* ncclGetErrorString(ncclResult_t result) {
  return result == ncclRemoteError ? "remote process exited or there was a network error"
                                   : "emulated error";
}

ncclResult_t ncclCommInitRankConfig(ncclComm_t* communicator, int, ncclUniqueId id, int rank,
                                    ncclConfig_t* config) {
  *communicator = new ncclComm{.id = id.internal, .rank = rank};
  ++n_alive;
  return config->blocking != 0 ? ncclSuccess : ncclInProgress;
}

ncclResult_t ncclCommGetAsyncError(ncclComm_t communicator, ncclResult_t* result) {
  *result = communicator->state;
  if (communicator->state == ncclInProgress) communicator->state = ncclSuccess;
  return ncclSuccess;
}

ncclResult_t ncclCommFinalize(ncclComm_t communicator) {
  communicator->state = ncclInProgress;
  return ncclInProgress;
}

ncclResult_t ncclCommDestroy(ncclComm_t communicator) {
  --n_alive;
  delete communicator;
  return ncclSuccess;
}

ncclResult_t ncclCommAbort(ncclComm_t communicator) { return ncclCommDestroy(communicator); }

ncclResult_t ncclBroadcast(const void* from, void* to, std::size_t n, ncclDataType_t, int root,
                           ncclComm_t communicator, cudaStream_t stream) {
  if (first_broken > 0 && ++n_broadcasts >= first_broken) {
    communicator->state = ncclRemoteError;
    return ncclInProgress;
  }
  const std::pair<std::string, int> key{communicator->id, communicator->n_broadcasts++};
  if (communicator->rank == root) {
    tovamill::emulation::enqueue(stream, [=] {
      const auto* bytes = static_cast<const std::byte*>(from);
      sent[key].assign(bytes, bytes + n);
    });
    return ncclSuccess;
  }
  const auto found = sent.find(key);
  if (found == sent.end() || found->second.size() != n) return ncclSystemError;
  tovamill::emulation::enqueue(stream,
                               [=, bytes = found->second] { std::memcpy(to, bytes.data(), n); });
  return ncclSuccess;
}
