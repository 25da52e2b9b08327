// What all ranks of a run would find wrong at once, found by one process before they are started.
#pragma once

#include "workers/options/run_options.h"

namespace tovamill {

// Throws the Error that a run with these options would end with at its start: for the options, the
// model (its weights are not read), the corpus (no document is) and the run directory. Makes
// nothing. Passes over the model with --broadcast-weights, which a host may lack, and over GPUs,
// which other hosts may have.
void check_run(const RunOptions& options);

}  // namespace tovamill
