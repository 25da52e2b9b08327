// What rank 0 finds out before the first lease: the corpus, the run directory, what is done
// already.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <nlohmann/json.hpp>

#include "pipeline/coordinator.h"
#include "workers/run_guard.h"
#include "workers/run_options.h"

namespace tovamill {

struct Preparation {
  RunWork work;
  std::uint64_t n_files = 0, n_bytes = 0;  // of the corpus, on disk
  std::uint64_t n_documents_done = 0;      // in the journals, failed ones included
};

// Takes the run directory, clears it where the options say so, and reads its journals. `print` is
// the run's fingerprint. `lock` is taken, waiting `wait_s` for a run that is just ending; then
// `on_locked` is called. Throws Error as the design's exit codes say.
Preparation prepare_run(const RunOptions& options, const nlohmann::json& print, double wait_s,
                        std::unique_ptr<RunLock>& lock, const std::function<void()>& on_locked);

// What a rank that died has left to do of `pieces`, and what it was computing, by its journal.
// `launch` is this one's. A journal that is not there says that all is left.
JournalFindings look_into_journal(const std::string& path, const std::vector<CorpusFile>& files,
                                  const std::vector<Piece>& pieces);

}  // namespace tovamill
