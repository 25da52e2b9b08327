// What tests ask of the emulated GPU (cuda_emulation); nothing where there is none.
#pragma once

#include <cstdint>
#include <optional>

namespace tovamill::testing {

struct GpuCounts {
  std::uint64_t n_waits = 0;  // of the host for the device
  std::uint64_t n_graphs_made = 0, n_graphs_launched = 0;
};
// Since the last call; none where no GPU is emulated.
std::optional<GpuCounts> take_gpu_counts();
// In which order operations of several CUDA streams are done from now on.
void set_gpu_order(std::uint64_t seed);

}  // namespace tovamill::testing
