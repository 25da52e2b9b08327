// The corpus files of a run from start to start: recorded by the first, checked by the next.
#pragma once

#include <atomic>
#include <span>
#include <string>
#include <vector>

#include "pipeline/run_directory/input_files.h"
#include "workers/options/run_options.h"

namespace tovamill {

// Compares `files` and the model's with what the run directory has on record, where it has, and
// gives what is to be on record now. Throws Error(configuration) naming the files where they are
// not what `earlier` starts read (with --accept-appended: where those of the corpus did not only
// grow), and where documents are finished and nothing is on record.
RunInputs check_inputs(const RunOptions& options, std::span<const CorpusFile> files,
                       const std::string& left_out, const JournalIndex& earlier);

// Adds the digests that `inputs` lack and records them again; ends early once `stops`.
void record_digests(const std::string& run_directory, RunInputs inputs,
                    const std::atomic<bool>& stops);

// "the corpus has changed while it was read: /a.jsonl and 2 more"; empty where it has not.
std::string changes_since(std::span<const InputFile> inputs);

}  // namespace tovamill
