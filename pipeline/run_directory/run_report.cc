#include "pipeline/run_directory/run_report.h"

#include <fcntl.h>
#include <sys/stat.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cmath>
#include <filesystem>
#include <fstream>

#include "io/files/durable.h"
#include "io/files/file_descriptor.h"
#include "io/files/json_file.h"
#include "kernels/types/error.h"
#include "kernels/types/format.h"
#include "pipeline/run_directory/input_files.h"
#include "pipeline/run_directory/run_directory.h"

namespace fs = std::filesystem;

namespace tovamill {
namespace {

using nlohmann::json;

// A status of 10,000 ranks has about 4 MB.
constexpr std::uint64_t kMostStatusBytes = 16u << 20;
// Journals up to this size in all are read to count their documents.
constexpr std::uint64_t kCheapBytes = 32u << 20;
// A status.json of another host that is older belongs to a dead run: it is written every few
// seconds.
constexpr double kSilentSeconds = 30.0;
// A process that began this much later than the run is another one with the same number.
constexpr double kStartSlackSeconds = 5.0;
constexpr std::size_t kLongestText = 1000;  // bytes shown of any text

std::optional<double> finite_number_at(const json& object, const char* key) {
  const auto found = object.find(key);
  if (found == object.end() || !found->is_number()) return std::nullopt;
  const double value = found->get<double>();
  return std::isfinite(value) ? std::optional(value) : std::nullopt;
}

std::optional<std::int64_t> integer_at(const json& object, const char* key) {
  const auto value = finite_number_at(object, key);
  if (!value || std::abs(*value) > 9e15) return std::nullopt;
  return static_cast<std::int64_t>(*value);
}

std::optional<std::uint64_t> count_at(const json& object, const char* key) {
  const auto value = finite_number_at(object, key);
  if (!value || *value < 0.0 || *value > 9e18) return std::nullopt;
  return static_cast<std::uint64_t>(*value);
}

// Control characters become blanks: a file must not move the cursor of a terminal.
std::string printable_text_at(const json& object, const char* key) {
  const auto found = object.find(key);
  if (found == object.end() || !found->is_string()) return "";
  std::string text = found->get<std::string>();
  if (text.size() > kLongestText) {
    text.resize(kLongestText);
    while (!text.empty() && (text.back() & 0xC0) == 0x80) text.pop_back();
    if (!text.empty() && (text.back() & 0x80) != 0) text.pop_back();
    text += "...";
  }
  for (char& c : text) {
    if ((c >= 0 && c < ' ') || c == 0x7F) c = ' ';
  }
  return text;
}

template <class Visit>
void for_each_object(const json& object, const char* key, Visit&& visit) {
  const auto found = object.find(key);
  if (found == object.end() || !found->is_array()) return;
  for (const json& entry : *found) {
    if (entry.is_object()) visit(entry);
  }
}

RankReport rank_of(const json& entry) {
  RankReport rank;
  rank.rank = count_at(entry, "rank");
  rank.n_documents = count_at(entry, "documents");
  rank.n_failed = count_at(entry, "failed");
  rank.n_tokens = count_at(entry, "tokens");
  rank.silent_s = finite_number_at(entry, "silent_s");
  rank.tokens_per_second = finite_number_at(entry, "tokens_per_second");
  rank.seconds_computing = finite_number_at(entry, "seconds_computing");
  rank.seconds_waiting = finite_number_at(entry, "seconds_waiting");
  rank.seconds_writing = finite_number_at(entry, "seconds_writing");
  rank.host = printable_text_at(entry, "host");
  rank.device = printable_text_at(entry, "device");
  rank.state = printable_text_at(entry, "state");
  rank.note = printable_text_at(entry, "note");
  return rank;
}

FailureReport failure_of(const json& entry) {
  FailureReport failure;
  failure.file = printable_text_at(entry, "file");
  failure.offset = count_at(entry, "offset");
  failure.reason = printable_text_at(entry, "reason");
  failure.text = printable_text_at(entry, "text");
  return failure;
}

void read_totals(RunReport& report) {
  const json& status = report.status;
  report.n_documents = count_at(status, "documents");
  report.n_failed = count_at(status, "failed");
  report.n_quarantined = count_at(status, "set_aside");
  report.n_tokens = count_at(status, "tokens");
  report.n_bytes = count_at(status, "bytes");
  report.n_bytes_done = count_at(status, "bytes_done");
  report.n_files = count_at(status, "files");
  report.left_out = printable_text_at(status, "left_out");
  report.tokens_per_second = finite_number_at(status, "tokens_per_second");
  report.fraction = finite_number_at(status, "fraction");
  report.seconds = finite_number_at(status, "seconds");
  report.seconds_left = finite_number_at(status, "seconds_left");
  if (report.seconds_left && *report.seconds_left < 0.0) report.seconds_left.reset();
}

// Older files name neither host nor boot: then it is this one. A container has the boot of its
// machine, but a host name and process numbers of its own.
bool is_here(const RunReport& report, const RunProbe& probe) {
  const std::string boot_id = printable_text_at(report.status, "boot_id");
  return (boot_id.empty() || boot_id == probe.boot_id) &&
         (report.host.empty() || report.host == probe.host);
}

bool is_live(const RunReport& report, const RunProbe& probe) {
  if (report.is_final || report.state.empty()) return false;
  if (!is_here(report, probe)) return report.age_s && std::abs(*report.age_s) < kSilentSeconds;
  if (!report.pid || *report.pid <= 0) return false;
  const auto begun = probe.tovamill_started(*report.pid);
  if (!begun) return false;
  return !report.started_unix_s || *begun <= *report.started_unix_s + kStartSlackSeconds;
}

// The text of status.json, or why there is none.
std::string read_status(const std::string& path, std::string& problem) {
  const FileDescriptor file(open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK));
  struct stat info {};
  if (file.get() < 0) {
    problem =
        errno == ENOENT ? "is not there" : std::string("cannot be opened: ") + why_io_failed(errno);
  } else if (fstat(file.get(), &info) != 0 || !S_ISREG(info.st_mode)) {
    problem = "is not a file";
  } else if (static_cast<std::uint64_t>(info.st_size) > kMostStatusBytes) {
    problem = "has " + with_thousands(static_cast<std::uint64_t>(info.st_size)) +
              " bytes, more than a status may have";
  }
  if (!problem.empty()) return "";
  std::string text(static_cast<std::size_t>(info.st_size), '\0');
  const ssize_t n = read_at(file.get(), text.data(), text.size(), 0);
  if (n < 0) problem = std::string("cannot be read: ") + why_io_failed(errno);
  text.resize(n < 0 ? 0 : static_cast<std::size_t>(n));
  return text;
}

json parse_status(const std::string& text, std::string& problem) {
  if (nests_deeper(text, kMaxJsonDepth)) {
    problem = "nests too deeply";
    return json::object();
  }
  try {
    json status = json::parse(text);
    if (status.is_object()) return status;
    problem = "is not a JSON object";
  } catch (const json::exception&) {
    problem = "is not valid JSON";
  }
  return json::object();
}

JournalTotals journal_totals(const std::string& run_directory) {
  JournalTotals totals;
  std::error_code error;
  for (fs::directory_iterator at(journal_directory(run_directory), error), end; !error && at != end;
       at.increment(error)) {
    struct stat info {};
    const fs::path name = at->path().filename();
    if (name.string().starts_with("launch-") || name == fs::path(inputs_path("")).filename())
      continue;  // no journal
    if (at->path().extension() != ".log" || stat(at->path().c_str(), &info) != 0) continue;
    if (!S_ISREG(info.st_mode)) continue;
    ++totals.n;
    totals.n_bytes += static_cast<std::uint64_t>(info.st_size);
    const double written =
        static_cast<double>(info.st_mtim.tv_sec) + 1e-9 * static_cast<double>(info.st_mtim.tv_nsec);
    totals.newest_unix_s = std::max(totals.newest_unix_s, written);
  }
  if (totals.n_bytes > kCheapBytes) return totals;
  try {
    totals.n_documents = scan_journals(run_directory).documents.size();
  } catch (const Error&) {  // of another version, or removed meanwhile: not counted
  }
  return totals;
}

}  // namespace

RunReport report_of(json status, const RunProbe& probe) {
  RunReport report;
  if (status.is_object()) report.status = std::move(status);
  const json& from = report.status;
  report.state = printable_text_at(from, "state");
  report.message = printable_text_at(from, "message");
  report.host = printable_text_at(from, "host");
  report.launch_id = printable_text_at(from, "launch_id");
  report.launch = count_at(from, "launch");
  report.exit_code = integer_at(from, "exit_code");
  report.pid = integer_at(from, "pid");
  report.started_unix_s = finite_number_at(from, "started_unix_s");
  report.updated_unix_s = finite_number_at(from, "updated_unix_s");
  read_totals(report);
  for_each_object(from, "ranks", [&](const json& e) { report.ranks.push_back(rank_of(e)); });
  for_each_object(from, "failures",
                  [&](const json& e) { report.failures.push_back(failure_of(e)); });
  if (report.updated_unix_s) report.age_s = probe.now_unix_s - *report.updated_unix_s;
  constexpr std::array<const char*, 4> kFinal{"done", "stopped", "failed", "lost"};
  for (const char* state : kFinal) report.is_final |= report.state == state;
  report.live = is_live(report, probe);
  return report;
}

RunReport read_run_report(const std::string& run_directory, const RunProbe& probe) {
  const std::string path = (fs::path(run_directory) / "status.json").string();
  std::error_code ignored;
  if (!fs::is_directory(run_directory, ignored))
    throw Error(ExitCode::no_input,
                run_directory + ": is not a directory: give the run directory that --out named");
  std::string problem;
  const std::string text = read_status(path, problem);
  const bool has_status = problem != "is not there";
  if (!has_status && !fs::is_directory(journal_directory(run_directory), ignored))
    throw Error(ExitCode::no_input,
                run_directory + ": holds neither status.json nor journal/: is it a run directory?");
  RunReport report =
      report_of(problem.empty() ? parse_status(text, problem) : json::object(), probe);
  report.problem = problem;
  report.journals = journal_totals(run_directory);
  return report;
}

json report_json(const RunReport& report) {
  json all = report.status;
  all["live"] = report.live;
  all["age_s"] = report.age_s ? json(*report.age_s) : json();
  all["journals"] = {{"n", report.journals.n}, {"bytes", report.journals.n_bytes}};
  if (report.journals.n_documents) all["journals"]["documents"] = *report.journals.n_documents;
  if (!report.problem.empty()) all["trouble"] = "status.json " + report.problem;
  return all;
}

bool run_is_done(const std::string& run_directory) {
  std::ifstream file(run_directory + "/status.json");
  const nlohmann::json status = nlohmann::json::parse(file, nullptr, false);
  return status.is_object() && status.value("state", nlohmann::json()) == "done";
}

}  // namespace tovamill
