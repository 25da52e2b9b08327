// How many documents or texts a small corpus can have in flight at once: more states than that
// would only take memory.
#pragma once

#include <cstdint>

#include "workers/options/run_options.h"

namespace tovamill {

// The documents of `score`; else the texts: an answer to each question of each document, each in so
// many --samples, with --strategy chunk of each chunk. Bad records count, too. At least 1; 0 where
// it is no fewer than there would be streams by themselves, where a glance (a few MiB) does not
// tell, and with --streams.
std::int32_t useful_streams(const RunOptions& options);

}  // namespace tovamill
