// Stands in for NCCL where the CUDA backend is emulated. The ranks of a group that broadcasts are
// objects of one process that come one after another, the one that reads first; those of two ranks
// that send and receive are on threads of one process, each with a stream that waits for the
// other's. Operations of a communicator are done in the order of calls.
#pragma once

#include <cstddef>
#include <cstdint>

#include "tests/support/cuda_emulation/cuda_runtime.h"

struct ncclComm;
using ncclComm_t = ncclComm*;
enum ncclResult_t {
  ncclSuccess = 0,
  ncclUnhandledCudaError = 1,
  ncclSystemError = 2,
  ncclRemoteError = 6,
  ncclInProgress = 7,
};
enum ncclDataType_t { ncclUint8 = 1 };
struct ncclUniqueId {
  char internal[128];
};
struct ncclConfig_t {
  int blocking = 1;
  int maxCTAs = 0;
};
#define NCCL_CONFIG_INITIALIZER \
  {}

ncclResult_t ncclGetUniqueId(ncclUniqueId* id);
ncclResult_t ncclGetVersion(int* version);
const char* ncclGetErrorString(ncclResult_t result);
ncclResult_t ncclCommInitRankConfig(ncclComm_t* communicator, int n_ranks, ncclUniqueId id,
                                    int rank, ncclConfig_t* config);
ncclResult_t ncclCommGetAsyncError(ncclComm_t communicator, ncclResult_t* result);
ncclResult_t ncclCommFinalize(ncclComm_t communicator);
ncclResult_t ncclCommDestroy(ncclComm_t communicator);
ncclResult_t ncclCommAbort(ncclComm_t communicator);
ncclResult_t ncclBroadcast(const void* from, void* to, std::size_t n, ncclDataType_t type, int root,
                           ncclComm_t communicator, cudaStream_t stream);
ncclResult_t ncclSend(const void* from, std::size_t n, ncclDataType_t type, int peer,
                      ncclComm_t communicator, cudaStream_t stream);
ncclResult_t ncclRecv(void* to, std::size_t n, ncclDataType_t type, int peer,
                      ncclComm_t communicator, cudaStream_t stream);

namespace tovamill::emulation {

// No ids are made.
void refuse_ids(bool refuses);
// From the `n`-th broadcast of this process on, every one fails as where a rank has died; 0: none.
void break_broadcasts(int n);
// The same of sends: they stand still, or their communicators tell of an error.
enum class SendFault { stands_still, error };
void break_sends(int n, SendFault how);
// Sends since then.
int n_sends();
// Communicators that are there now.
int n_communicators();

}  // namespace tovamill::emulation
