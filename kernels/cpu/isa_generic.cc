// The inner loops in the baseline instructions of the build's architecture, and the choice between
// the tables.
#define TOVAMILL_LANES 4
#include <initializer_list>

#include "kernels/cpu/isa_table.h"

namespace tovamill::cpu {
namespace {

bool equal(const char* a, const char* b) { return std::strcmp(a, b) == 0; }

bool has_avx2() {
#if defined(__x86_64__)
  return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma");
#else
  return false;
#endif
}

bool has_avx512() {
#if defined(__x86_64__)
  return __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
         __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vl");
#else
  return false;
#endif
}

}  // namespace

const IsaKernels& generic_kernels() {
  static constexpr IsaKernels table = make_table("generic");
  return table;
}

const IsaKernels* kernels_named(const char* name) {
  if (equal(name, "generic")) return &generic_kernels();
  if (equal(name, "avx2")) return has_avx2() ? avx2_kernels() : nullptr;
  if (equal(name, "avx512")) return has_avx512() ? avx512_kernels() : nullptr;
  return nullptr;
}

const IsaKernels& best_kernels() {
  for (const char* name : {"avx512", "avx2"}) {
    if (const IsaKernels* k = kernels_named(name)) return *k;
  }
  return generic_kernels();
}

}  // namespace tovamill::cpu
