// Several run directories as one: whether they belong together, whether they are complete together,
// and the root attributes of their results.
#pragma once

#include "pipeline/results/results_writer.h"
#include "pipeline/run_directory/run_directory.h"

namespace tovamill {

// Throws Error(configuration) naming what differs where the journals are not all of the same
// options. What is read may differ: --corpus, --glob, --skip, --limit, --part.
void check_mergeable(const JournalIndex& index);

// The root attributes of results.h5 from the headers of the journals; of several, the newest
// counts. Complete where the newest launch of every run directory left a footer that says so and,
// if there are several directories, their --part make up whole corpora; then the fingerprint is
// that of a run over all of it.
ResultsHeader results_header(const JournalIndex& index);

}  // namespace tovamill
