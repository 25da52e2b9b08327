// The computing thread of a rank: model, journal, documents; from the start to the end of a run.
#pragma once

#include <optional>
#include <string>

#include "workers/lease/worker_mailbox.h"
#include "workers/load/gpu_places.h"
#include "workers/load/loaded_model.h"
#include "workers/options/run_options.h"

namespace tovamill {

// Where a rank stands among the others.
struct WorkerPlace {
  int rank = 0;
  int n_on_host = 1;         // working ranks of its host
  bool packs_first = false;  // it is the first of several: packs the weights for all of them
  GpuPlace gpu = {};         // where the device is cuda
  std::optional<NcclGroupPlace> nccl_group = std::nullopt;  // whose weights are read once
  StagePlace stages = {};
};

// Opens the model unless `head` is given, loads the weights as the coordinator orders, then works
// until its orders end. Whatever goes wrong lies on the mailbox. `out` of the options is there, and
// `threads` decided.
void work(const RunOptions& options, std::optional<ModelMetadata> metadata,
          const WorkerPlace& place, WorkerMailbox& mailbox);

}  // namespace tovamill
