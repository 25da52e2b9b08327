#include "tests/support/emulated_nccl.h"

#ifdef TOVAMILL_EMULATES_CUDA
#include "tests/support/cuda_emulation/nccl.h"
#endif

namespace tovamill::testing {

#ifdef TOVAMILL_EMULATES_CUDA
bool nccl_is_emulated() { return true; }
void break_nccl(int n) { emulation::break_broadcasts(n); }
int n_nccl_communicators() { return emulation::n_communicators(); }
#else
bool nccl_is_emulated() { return false; }
void break_nccl(int) {}
int n_nccl_communicators() { return 0; }
#endif

}  // namespace tovamill::testing
