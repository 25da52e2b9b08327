// status.json of a run directory: what a run is doing, replaced whole every few seconds and at its
// end. `tovamill status` and jobs/launch.sh read it.
#pragma once

#include <future>
#include <nlohmann/json.hpp>
#include <string>

#include "pipeline/distributed/coordinator.h"
#include "workers/run/corpus_run.h"
#include "workers/run/preparation.h"

namespace tovamill {

class RunStatus {
 public:
  // `launch_id` is what jobs/launch.sh gave this start. Writes the first status.
  RunStatus(const std::string& run_directory, const std::string& launch_id);

  void set_corpus(const Preparation& preparation);
  // Written at most every few seconds. A status that cannot be written
  // now is none to stop for.
  void update(const RunProgress& progress, const Coordinator& coordinator, double now_s);
  // The same without writing: what the final status says.
  void fill(const RunProgress& progress, const Coordinator& coordinator, double now_s);
  void merging();
  // "done", "stopped", "lost" or "failed", and the exit code; durably. Throws Error(io).
  void finish(const std::string& state, int exit_code, const std::string& message);

 private:
  std::string text();
  bool is_writing() const;
  void write_in_background();
  std::string path_;
  nlohmann::ordered_json json_;
  double last_write_s_ = -1e9;
  std::future<void> writing_;
};

}  // namespace tovamill
