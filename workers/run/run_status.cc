#include "workers/run/run_status.h"

#include <chrono>
#include <ctime>
#include <system_error>

#include "io/files/durable.h"
#include "io/files/system_facts.h"

namespace tovamill {
namespace {

using Json = nlohmann::ordered_json;

constexpr double kUpdateSeconds = 3.0;

const char* name_of(Coordinator::State state) {
  switch (state) {
    case Coordinator::State::starting:
      return "starting";
    case Coordinator::State::working:
      return "working";
    case Coordinator::State::waiting:
      return "waiting";
    case Coordinator::State::leaving:
      return "leaving";
    case Coordinator::State::left:
      return "left";
    case Coordinator::State::dead:
      return "dead";
  }
  return "";
}

Json rank_entry(int rank, const Coordinator::Worker& w, double now_s) {
  const WorkerCounters& c = w.report.counters;
  return {{"rank", rank},
          {"host", w.registration.host},
          {"pid", w.registration.pid},
          {"device", w.registration.device},
          {"state", name_of(w.state)},
          {"silent_s", now_s - w.heard_s},
          {"documents", c.n_documents},
          {"failed", c.n_failed},
          {"tokens", c.n_tokens},
          {"tokens_per_second", w.tokens_per_second},
          {"seconds_computing", c.seconds_computing},
          {"seconds_waiting", c.seconds_waiting},
          {"seconds_writing", c.seconds_writing},
          {"note", w.note}};
}

}  // namespace

RunStatus::RunStatus(const std::string& run_directory, const std::string& launch_id)
    : path_(run_directory + "/status.json") {
  json_ = {{"state", "starting"},
           {"message", ""},
           {"launch_id", launch_id},
           {"host", host_name()},
           {"pid", process_id()},
           {"boot_id", boot_id()},
           {"started_unix_s", std::time(nullptr)}};
  write_file_durably(path_, text());
}

std::string RunStatus::text() {
  json_["updated_unix_s"] = std::time(nullptr);
  return json_.dump(2, ' ', false, Json::error_handler_t::replace) + "\n";
}

void RunStatus::set_corpus(const Preparation& p) {
  json_["launch"] = p.work.launch;
  json_["files"] = p.n_files;
  json_["files_left_out"] = p.left_out.n_files();
  json_["left_out"] = p.left_out.text();
  json_["bytes"] = p.n_bytes;
}

void RunStatus::update(const RunProgress& p, const Coordinator& coordinator, double now_s) {
  if (now_s - last_write_s_ < kUpdateSeconds || is_writing()) return;
  last_write_s_ = now_s;
  json_["state"] = "running";
  fill(p, coordinator, now_s);
  write_in_background();
}

bool RunStatus::is_writing() const {
  return writing_.valid() &&
         writing_.wait_for(std::chrono::seconds(0)) != std::future_status::ready;
}

// A file system that hangs must not stop the communication of rank 0; and where there is no room
// for a thread just now, the next status comes in some seconds.
void RunStatus::write_in_background() {
  try {
    writing_ = std::async(std::launch::async,
                          [path = path_, content = text()] { replace_file(path, content); });
  } catch (const std::system_error&) {
  }
}

void RunStatus::fill(const RunProgress& p, const Coordinator& coordinator, double now_s) {
  json_["documents"] = p.n_documents;
  json_["failed"] = p.n_failed;
  json_["set_aside"] = coordinator.n_quarantined();
  json_["tokens"] = p.n_tokens;
  json_["tokens_per_second"] = p.tokens_per_second;
  json_["fraction"] = p.fraction;
  json_["bytes_done"] = static_cast<std::uint64_t>(p.fraction * json_.value("bytes", 0.0));
  json_["seconds"] = p.seconds;
  json_["seconds_left"] = p.seconds_left;
  Json ranks = Json::array();
  for (std::size_t r = 0; r < coordinator.workers().size(); ++r) {
    if (coordinator.is_worker(static_cast<int>(r)))
      ranks.push_back(rank_entry(static_cast<int>(r), coordinator.workers()[r], now_s));
  }
  json_["ranks"] = std::move(ranks);
}

void RunStatus::merging() {
  json_["state"] = "merging";
  if (!is_writing()) write_in_background();
}

void RunStatus::finish(const std::string& state, int exit_code, const std::string& message) {
  if (writing_.valid()) writing_.wait();
  json_["state"] = state;
  json_["exit_code"] = exit_code;
  json_["message"] = message;
  write_file_durably(path_, text());
}

}  // namespace tovamill
