#include "tests/support/emulated_gpu.h"

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
void set_gpu_order(std::uint64_t seed) { emulation::set_stream_order(seed); }
#else
std::optional<GpuCounts> take_gpu_counts() { return std::nullopt; }
void set_gpu_order(std::uint64_t) {}
#endif

}  // namespace tovamill::testing
