// What `tovamill probe` does before the run of its corpus.
#pragma once

#include <string>

#include "workers/options/run_options.h"

namespace tovamill {

// Reads --haystack and names the corpus, which lies in the run directory. Throws as read_haystack.
void name_probe_corpus(RunOptions& options);

// Makes the corpus in the run directory, under its lock (a wait of `lock_wait_s` at most); one with
// which a run has begun there stays as it is: with other options that run says which differ. On one
// rank. Throws Error as jobs/README.md, "Exit codes", says.
void make_probe_corpus(const RunOptions& options, double lock_wait_s);

// Writes the corpus to a file of the user's, for tovamill generate.
void write_probe_corpus(const RunOptions& options, const std::string& path);

}  // namespace tovamill
