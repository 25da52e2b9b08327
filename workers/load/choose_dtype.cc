#include "workers/load/choose_dtype.h"

#include <algorithm>
#include <string>

#include "kernels/cpu/cpu_info.h"
#include "kernels/types/error.h"
#include "kernels/types/format.h"
#include "workers/load/memory_plan.h"
#include "workers/stages/stage_cut.h"

namespace tovamill {

ComputeType automatic_dtype(DeviceKind device) {
  switch (device) {
    case DeviceKind::cuda:
      return ComputeType::bf16;
    case DeviceKind::cpu:
    case DeviceKind::reference:
      break;
  }
  return preferred_type(cpu_info());
}

ComputeType choose_dtype(const RunOptions& options, const ModelShape& shape,
                         std::uint64_t available_bytes) {
  const DeviceKind device = device_of(options);
  const auto bytes = [&](ComputeType type) {
    std::uint64_t most = 0;
    for (const LayerRange& range : cut_layers(shape, options.stages))
      most = std::max(most, packed_bytes(shape, range, expanded_to(type).storage));
    return most;
  };
  ComputeType dtype = options.dtype.value_or(automatic_dtype(device));
  if (!options.dtype && bytes(ComputeType::f32) > available_bytes) dtype = ComputeType::bf16;
  const std::uint64_t needed = bytes(dtype);
  if (needed <= available_bytes) return dtype;
  const bool is_gpu = device == DeviceKind::cuda;
  throw Error(ExitCode::configuration,
              "the weights take " + with_thousands(needed) + " bytes in " +
                  std::string(name_of(dtype)) + ", but only " + with_thousands(available_bytes) +
                  " bytes of " + (is_gpu ? "GPU " : "") +
                  "memory are free: " + (dtype == ComputeType::f32 ? "use --dtype bf16, or " : "") +
                  "take a " + (is_gpu ? "GPU" : "machine") + " with more memory");
}

}  // namespace tovamill
