#include "tests/support/attention/emulated_gpu.h"

#ifdef TOVAMILL_EMULATES_CUDA
#include "tests/support/cuda_emulation/cuda_runtime.h"
#endif

namespace tovamill::testing {

#ifdef TOVAMILL_EMULATES_CUDA
std::optional<GpuCounts> take_gpu_counts() {
  const emulation::StreamCounts counts = emulation::take_stream_counts();
  return GpuCounts{.n_waits = counts.n_waits,
                   .n_graphs_made = counts.n_graphs_made,
                   .n_graphs_launched = counts.n_graphs_launched};
}
void work_off_gpu() { emulation::work_off(); }
void set_gpu_order(std::uint64_t seed) { emulation::set_stream_order(seed); }
void set_machine(const EmulatedMachine& m) {
  emulation::set_machine(
      {.n_devices = m.n_devices,
       .major = m.major,
       .driver_version = m.driver_version,
       .shared_kib = m.shared_kib,
       .count_error = m.fault == GpuFault::old_driver ? cudaErrorInsufficientDriver : cudaSuccess,
       .code_error = m.fault == GpuFault::no_code ? cudaErrorNoKernelImageForDevice : cudaSuccess,
       .n_operations = m.n_operations});
  emulation::set_largest_block(m.largest_block);
  emulation::set_gemm_faults({.few_rows = m.few_rows,
                              .n_fickle = m.n_fickle,
                              .n_refusing = m.n_refusing,
                              .contrary_rows = m.contrary_rows});
}
std::uint64_t take_gemm_by(std::int32_t n_rows) { return emulation::take_gemm_by(n_rows); }
#else
std::uint64_t take_gemm_by(std::int32_t) { return 0; }
std::optional<GpuCounts> take_gpu_counts() { return std::nullopt; }
void work_off_gpu() {}
void set_gpu_order(std::uint64_t) {}
void set_machine(const EmulatedMachine&) {}
#endif

}  // namespace tovamill::testing
