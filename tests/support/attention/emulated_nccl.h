// What tests ask of the emulated NCCL (cuda_emulation/nccl.h), whose ranks are objects of one
// process.
#pragma once

namespace tovamill::testing {

// False where NCCL is not emulated: then a test needs as many GPUs as ranks, and processes.
bool nccl_is_emulated();
// As where there is no NCCL.
void refuse_nccl(bool refuses);
// From the `n`-th broadcast on, every one fails as where a rank has died; 0: none.
void break_nccl(int n);
// From the `n`-th send on, none arrives; `tells`: as where NCCL knows why. 0: all do.
void break_nccl_sends(int n, bool tells = false);
// Sends since then.
int n_nccl_sends();
// Communicators that have been made and not ended.
int n_nccl_communicators();

}  // namespace tovamill::testing
