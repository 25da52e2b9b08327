// The talking side of a stage: moves messages between the computing thread's mailbox and the ranks
// of its group, and sees when one of these is gone.
#pragma once

#include <vector>

#include "pipeline/distributed/bulk_channel.h"
#include "pipeline/distributed/process_watch.h"
#include "pipeline/distributed/rank_info.h"
#include "workers/stages/stage_channel.h"

namespace tovamill {

// The ranks of the group that `rank` is of, by stage: from `first_worker` on, so many each.
std::vector<int> stage_group(int rank, int first_worker, int n_stages);

class StageExchange {
 public:
  // Both outlive the object. `ranks` is of the run, `group` by stage.
  StageExchange(StageMailbox& mailbox, BulkChannel& channel, const std::vector<RankInfo>& ranks,
                std::vector<int> group);

  void tick();
  // Until the next tick: as long as nothing is to be done, at most so long.
  void pause(double most_seconds);

 private:
  int stage_of(int rank) const;

  StageMailbox& mailbox_;
  BulkChannel& channel_;
  std::vector<int> group_;
  ProcessWatch watch_;
};

}  // namespace tovamill
