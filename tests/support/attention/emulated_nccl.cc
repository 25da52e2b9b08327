#include "tests/support/attention/emulated_nccl.h"

#ifdef TOVAMILL_EMULATES_CUDA
#include "tests/support/cuda_emulation/nccl.h"
#endif

namespace tovamill::testing {

#ifdef TOVAMILL_EMULATES_CUDA
bool nccl_is_emulated() { return true; }
void refuse_nccl(bool refuses) { emulation::refuse_ids(refuses); }
void break_nccl(int n) { emulation::break_broadcasts(n); }
void break_nccl_sends(int n, bool tells) {
  emulation::break_sends(n,
                         tells ? emulation::SendFault::error : emulation::SendFault::stands_still);
}
int n_nccl_sends() { return emulation::n_sends(); }
int n_nccl_communicators() { return emulation::n_communicators(); }
#else
bool nccl_is_emulated() { return false; }
void refuse_nccl(bool) {}
void break_nccl(int) {}
void break_nccl_sends(int, bool) {}
int n_nccl_sends() { return 0; }
int n_nccl_communicators() { return 0; }
#endif

}  // namespace tovamill::testing
