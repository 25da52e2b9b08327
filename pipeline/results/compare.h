// Finished runs, or settings of sweeps, against the first of them: over the documents that both
// have, paired (paired.h).
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "pipeline/results/summary.h"

namespace tovamill {

// What is compared: a results.h5, or one setting of it.
struct ComparedRun {
  std::string name;     // for people: "run1", "run2:tova-512"
  std::string results;  // path of the results.h5
  std::string setting;  // of a sweep; empty where it is none
};

// All that a results.h5 holds: itself, or each setting of a sweep as "<name>:<setting>".
std::vector<ComparedRun> runs_of(const std::string& name, const std::string& results);

// One number of a run beside the first one's, over the documents that both have it of. Of a text
// score `paired` holds scores in the place of nats and texts in the place of tokens; it has no
// perplexities then.
struct ComparedValue {
  // "nll_per_token", "nll_per_token from 1024 to 1279" (a bin of positions), or of
  // kTextScoreNames.
  std::string metric;
  Estimate value;  // of this run
  Estimate first;  // of the first
  PairedSummary paired;
};

struct Comparison {
  ComparedRun run;
  std::uint64_t n_documents = 0;  // that both have scored, or answered
  std::uint64_t n_only_first = 0, n_only_here = 0;
  std::uint64_t n_other_counts = 0;  // of those in both: of other counts of tokens
  std::vector<ComparedValue> values;
};

// One for each run, the first, against itself, included. Documents are the same whose file, place
// and id are. Throws Error(configuration) naming the runs where they cannot be compared: another
// job, another tokenizer (of `score`), no document in common, a document of another length in
// bytes; BadData, Error(no_input).
// `by_position`: a value for each bin of /nll_by_position, which all of them must hold (else
// Error(usage)) in the same bins.
std::vector<Comparison> compare_runs(const std::vector<ComparedRun>& runs,
                                     bool by_position = false);

}  // namespace tovamill
