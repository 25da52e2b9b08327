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
// What is found on an emulated machine from now on.
enum class GpuFault : std::uint8_t { none, old_driver, no_code };
struct EmulatedMachine {
  int n_devices = 1, major = 9;
  int driver_version = 13000;  // 0: no driver
  int shared_kib = 227;        // of shared memory that a block may have
  GpuFault fault = GpuFault::none;
  // Products of at most so many rows are summed in another order by the best algorithms, or not
  // multiplied by them at all; all are tried then.
  std::int32_t few_rows = 0;
  int n_fickle = 0, n_refusing = 0;
  std::int32_t contrary_rows = 0;  // the best algorithm for so many sums all rows otherwise
  std::uint64_t n_operations = UINT64_MAX;   // after which the device fails for good
  std::uint64_t largest_block = UINT64_MAX;  // bytes of memory that are had at once
};
void set_machine(const EmulatedMachine& machine);
// GEMMs since the last call by an algorithm for so many rows.
std::uint64_t take_gemm_by(std::int32_t n_rows);
// All that the GPU can do without waiting for another thread is done now.
void work_off_gpu();
// In which order operations of several CUDA streams are done from now on.
void set_gpu_order(std::uint64_t seed);

}  // namespace tovamill::testing
