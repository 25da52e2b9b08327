// In which type a run computes: bf16 or f32.
#pragma once

#include <cstdint>

#include "kernels/types/compute_type.h"
#include "kernels/types/device_kind.h"
#include "kernels/types/model_shape.h"
#include "workers/options/run_options.h"

namespace tovamill {

// What the device multiplies fastest: the `auto` of --dtype.
ComputeType automatic_dtype(DeviceKind device);
// What was asked for, else the automatic one, or bf16 where only that fits the memory; for the
// costliest stage where there are several, so that all choose the same. Throws
// Error(configuration) where nothing fits.
ComputeType choose_dtype(const RunOptions& options, const ModelShape& shape,
                         std::uint64_t available_bytes);

}  // namespace tovamill
