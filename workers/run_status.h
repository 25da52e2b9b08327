// status.json of a run directory: what a run is doing, replaced whole every few seconds and at its
// end.
#pragma once

#include <nlohmann/json.hpp>
#include <string>

#include "workers/score_run.h"

namespace tovamill {

class RunStatus {
 public:
  explicit RunStatus(const std::string& run_directory);

  // At most every few seconds.
  void update(const RunProgress& progress);
  // "done", "stopped" or "failed", and the exit code.
  void finish(const std::string& state, int exit_code, const std::string& message);

 private:
  void write();
  std::string path_;
  nlohmann::json json_;
  double last_write_s_ = 0.0;
};

}  // namespace tovamill
