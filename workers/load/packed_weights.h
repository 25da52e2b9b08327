// How a rank comes by its packed weights: it packs its own, packs for all ranks of its host, or
// maps what another has packed.
#pragma once

#include <cstdint>

#include "workers/load/loaded_model.h"

namespace tovamill {

// Sets backend, model, and what LoadedModel says of sharing; files, config, plan and Model::range
// are there already. Returns the bytes of memory that are left for this rank's streams. Throws
// Error(configuration) where the weights do not fit.
std::uint64_t obtain_weights(LoadedModel& loaded, const RunOptions& options, int n_threads,
                             std::uint64_t available_bytes, const WeightSharing& how);

// The same on a GPU. Limits the rows of the plan by what they take. Throws Error(no_device),
// OutOfMemory.
std::uint64_t obtain_gpu_weights(LoadedModel& loaded, const RunOptions& options, int n_threads,
                                 const GpuPart& gpu);

// At least what the packed matrices of a model of this shape take: the upper bound of a file that
// grows as it is written.
std::uint64_t most_packed_bytes(const ModelShape& shape, MatrixType type);

}  // namespace tovamill
