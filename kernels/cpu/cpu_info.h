// What the machine offers a run on the CPU: cores and memory that this process may really use,
// instruction sets, and the rate of matrix products.
#pragma once

#include <cstdint>
#include <string>

#include "kernels/types/compute_type.h"

namespace tovamill {

struct CpuInfo {
  std::string model;                  // as /proc/cpuinfo names it; "unknown" where it does not
  std::int32_t n_cores_online = 1;    // of the machine (hardware threads)
  std::int32_t n_cores_affinity = 1;  // that the scheduler may place this process on
  double cgroup_cores = 0.0;          // CPU quota of the control group, in cores; 0 is none
  std::uint64_t memory_bytes = 0;     // of the machine
  std::uint64_t memory_available_bytes =
      0;                                  // free or freeable now, within the control group's limit
  std::uint64_t cgroup_memory_bytes = 0;  // limit of the control group; 0 is none
  bool has_avx2 = false;                  // with FMA and F16C
  bool has_avx512 = false;                // F, BW, DQ and VL
  bool is_intel = false;                  // by its vendor string
  bool has_avx512_bf16 = false;
  bool has_amx_bf16 = false;

  // Threads that can run at once: affinity, cut to the quota (rounded up), at least 1.
  std::int32_t n_cores_usable() const;
};

CpuInfo cpu_info();

// What `--dtype auto` is on a CPU: bf16 where its instructions for it are faster than those for
// f32, f32 elsewhere. AMX is; so are AVX512-BF16's dot products on AMD's cores. Intel's cores have
// them at half the rate of f32's multiply-adds (measured with oneDNN on Sapphire Rapids without
// AMX: 0.16 against 0.29 TFLOP/s on two cores).
ComputeType preferred_type(const CpuInfo& info);

// The release of the oneDNN library that is loaded, "2.6.3".
std::string onednn_version();

// Rate of oneDNN's product of two matrices of 2048 x 2048, in operations per second (a
// multiplication and an addition are two): the best of the runs that fit half a second after a
// warm-up. 0 where this CPU cannot do `dtype`.
double measure_gemm(ComputeType dtype, std::int32_t n_threads);

}  // namespace tovamill
