#include "workers/run_status.h"

#include <unistd.h>

#include <ctime>

#include "io/durable.h"
#include "workers/run_journal.h"

namespace tovamill {
namespace {

constexpr double kUpdateSeconds = 3.0;

}  // namespace

RunStatus::RunStatus(const std::string& run_directory) : path_(run_directory + "/status.json") {
  json_ = {{"state", "running"}, {"pid", getpid()}, {"started_unix_s", std::time(nullptr)}};
  write();
}

void RunStatus::write() {
  json_["updated_unix_s"] = std::time(nullptr);
  write_file_durably(path_,
                     json_.dump(2, ' ', false, nlohmann::json::error_handler_t::replace) + "\n");
  last_write_s_ = now_s();
}

void RunStatus::update(const RunProgress& p) {
  if (now_s() - last_write_s_ < kUpdateSeconds) return;
  json_["documents"] = p.n_documents;
  json_["failed"] = p.n_failed;
  json_["tokens"] = p.n_tokens;
  json_["tokens_per_second"] = p.tokens_per_second;
  json_["fraction"] = p.fraction;
  json_["seconds"] = p.seconds;
  json_["seconds_left"] = p.seconds_left;
  write();
}

void RunStatus::finish(const std::string& state, int exit_code, const std::string& message) {
  json_["state"] = state;
  json_["exit_code"] = exit_code;
  json_["message"] = message;
  write();
}

}  // namespace tovamill
