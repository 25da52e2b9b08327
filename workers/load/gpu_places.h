// Which rank computes on which GPU.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <vector>

#include "kernels/types/device_kind.h"
#include "pipeline/distributed/rank_info.h"

namespace tovamill {

// What the ranks of a run compute on: what was asked for; where nothing was, cuda if any working
// rank can use a GPU, else cpu. The same on every rank.
DeviceKind choose_device(std::optional<DeviceKind> asked, std::span<const RankInfo> ranks,
                         int first_worker);

struct GpuPlace {
  int gpu = -1;      // of RankInfo::gpus; -1: none is left for it
  int n_on_gpu = 0;  // ranks that have it
};

// By rank. Ranks from `first_worker` on take the GPU that has fewest ranks among those that they
// can use, at most `ranks_per_gpu` each. Every rank comes to the same result.
std::vector<GpuPlace> place_on_gpus(std::span<const RankInfo> ranks, int first_worker,
                                    int ranks_per_gpu);

// Throws Error(no_device) naming the first working rank that has no GPU of its own, and why.
void check_gpus(std::span<const RankInfo> ranks, int first_worker, int ranks_per_gpu);

// What identifies the GPUs that this process can use (RankInfo::gpus), if the device that was asked
// for may be one.
std::vector<std::uint64_t> gpu_identities(std::optional<DeviceKind> asked);

struct GpuShare {
  int index = 0;              // BackendOptions::device_index
  std::uint64_t n_bytes = 0;  // of its memory that a rank may take: 92 % of all for all its ranks
};
// The share of the GPU that this process has by its place. Throws Error(no_device) where it has
// gone.
GpuShare gpu_share(const GpuPlace& place);

}  // namespace tovamill
