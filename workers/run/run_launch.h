// How this process was started as part of a run: its ranks, and how they talk.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "kernels/nccl_group.h"
#include "pipeline/distributed/bulk_channel.h"
#include "pipeline/distributed/channel.h"
#include "pipeline/distributed/rank_info.h"
#include "workers/load/loaded_model.h"

namespace tovamill {

struct RunLaunch {
  Channel* channel = nullptr;
  BulkChannel* bulk = nullptr;            // with --stages, to the other ranks of the group
  std::vector<RankInfo> ranks;            // of all ranks, by rank
  std::optional<ModelMetadata> metadata;  // where the model is open already
  std::string launch_id;                  // of jobs/launch.sh, for status.json
  // What ranks with a GPU each find each other by; nothing where each reads the weights for itself.
  std::optional<NcclGroupId> nccl_group;
  double lock_wait_s = 0.0;  // for the run directory, which a dying launch may still hold
  // Set when the run has ended, however it ended: nobody was lost, so MPI may end as usual.
  bool all_alive = false;
};

// The first rank that computes: with --dedicated-coordinator not rank 0, unless it is the only one.
int first_worker(const RunOptions& options, const RunLaunch& launch);

// A run of this process alone, which can use `gpus` (RankInfo::gpus); `channel` must outlive it.
RunLaunch lone_launch(Channel& channel, std::span<const std::uint64_t> gpus = {});

}  // namespace tovamill
