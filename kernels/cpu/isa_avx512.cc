// The inner loops in AVX512; the flags stand in kernels/CMakeLists.txt.
#define TOVAMILL_LANES 16
#include "kernels/cpu/isa_table.h"

namespace tovamill::cpu {

#if defined(__AVX512F__) || defined(__AVX512__)
const IsaKernels* avx512_kernels() {
  static constexpr IsaKernels table = make_table("avx512");
  return &table;
}
#else
const IsaKernels* avx512_kernels() { return nullptr; }
#endif

}  // namespace tovamill::cpu
