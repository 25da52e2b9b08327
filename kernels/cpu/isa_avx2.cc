// The inner loops in AVX2; the flags stand in kernels/CMakeLists.txt.
#define TOVAMILL_LANES 8
#include "kernels/cpu/isa_table.h"

namespace tovamill::cpu {

#if defined(__AVX2F__) || defined(__AVX2__)
const IsaKernels* avx2_kernels() {
  static constexpr IsaKernels table = make_table("avx2");
  return &table;
}
#else
const IsaKernels* avx2_kernels() { return nullptr; }
#endif

}  // namespace tovamill::cpu
