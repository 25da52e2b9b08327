// What a run writes must be nothing that it reads.
#pragma once

#include <span>

#include "io/corpus/corpus.h"
#include "workers/options/run_options.h"

namespace tovamill {

// Throws Error(configuration), naming both, where the run directory, the file of --stream-jsonl,
// standard output or standard error is the model, the corpus, a file of them, of --prompt or of
// --config, under whatever names and links; and where --stream-jsonl is a file that the run
// directory needs itself. `files` are those of the corpus, as far as they are known yet.
void check_outputs(const RunOptions& options, std::span<const CorpusFile> files);

// The same of a command that writes to standard output alone.
void check_standard_streams(const RunOptions& options, std::span<const CorpusFile> files);

// The file of --stream-jsonl; empty where there is none.
std::string stream_of(const RunOptions& options);

}  // namespace tovamill
