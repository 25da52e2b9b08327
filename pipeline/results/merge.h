// Merges journals into results.h5: the documents in (file, offset) order, so that every number is
// the same whichever rank computed it.
#pragma once

#include <string>

#include "pipeline/results/results_writer.h"
#include "pipeline/results/summary.h"
#include "pipeline/run_directory/run_directory.h"

namespace tovamill {

// Writes <run_directory>/results.h5 (temporary file, fsync, rename) from what the journals hold,
// complete or not, holding one document's record at a time. `index` is that of scan_journals.
// Line numbers and the ids of records without one are filled in (line_numbers.h): "<file
// name>:<line>", or "<file name>@<offset>" where the line cannot be known any more.
// Throws Error(io) on a full disk, Error(cannot_create), BadData if journals of different models or
// options are mixed; an earlier results.h5 is then unchanged.
CorpusSummary merge_journals(const std::string& run_directory, const JournalIndex& index,
                             const ResultsHeader& header);

// The row of /run of a journal: "host" and "device" of its header, "seconds_computing",
// "seconds_waiting" and "seconds_writing" of its footer (JSON), documents and tokens counted from
// its records.
RunRow run_row(const JournalFile& journal);

}  // namespace tovamill
