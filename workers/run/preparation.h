// What rank 0 finds out before the first lease: the corpus, the run directory, what is done
// already.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <nlohmann/json.hpp>
#include <optional>

#include "io/corpus/left_out.h"
#include "pipeline/distributed/coordinator.h"
#include "pipeline/run_directory/input_files.h"
#include "workers/options/run_options.h"
#include "workers/run/run_guard.h"

namespace tovamill {

struct Preparation {
  RunWork work;
  std::uint64_t n_files = 0, n_bytes = 0;  // of the corpus, on disk
  LeftOut left_out;                        // of the corpus
  RunInputs inputs;                        // as they are on record
  std::uint64_t n_documents_done = 0;      // in the journals, failed ones included
};

// What a preparation asks for on its way.
struct PreparationEvents {
  double lock_wait_s = 0.0;             // for a run that is just ending
  std::function<void()> on_locked;      // the run directory is ours
  std::function<bool()> may_overwrite;  // waits until it is sure that the run can start
};

// Takes the run directory, clears it where the options say so, and reads its journals.
// `run_fingerprint` is the run's fingerprint. Nothing where `may_overwrite` says no. Throws Error
// as jobs/README.md, "Exit codes", says.
std::optional<Preparation> prepare_run(const RunOptions& options,
                                       const nlohmann::json& run_fingerprint,
                                       const PreparationEvents& events,
                                       std::unique_ptr<RunLock>& lock);

// What a rank that died has left to do of `ranges`, and what it was computing, by its journal.
// `launch` is this one's. A journal that is not there says that all is left.
JournalFindings review_journal(const std::string& path, const std::vector<CorpusFile>& files,
                               const std::vector<FileRange>& ranges);

}  // namespace tovamill
