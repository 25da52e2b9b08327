// Stands in for NCCL where the CUDA backend is emulated: the ranks of a group are objects of one
// process that come one after another, the one that reads first.
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

namespace tovamill::emulation {

// From the `n`-th broadcast of this process on, every one fails as where a rank has died; 0: none.
void break_broadcasts(int n);
// Communicators that are there now.
int n_communicators();

}  // namespace tovamill::emulation
