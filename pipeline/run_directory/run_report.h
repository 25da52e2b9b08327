// The state of a run as its directory shows it: status.json as the coordinator wrote it, whether
// that coordinator is alive, and what the journals hold. Nothing is locked or written: reports may
// be made at any time.
#pragma once

#include <cstdint>
#include <functional>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <vector>

namespace tovamill {

// What decides whether a run is alive; replaced in tests.
struct RunProbe {
  double now_unix_s = 0.0;
  std::string host;
  std::string boot_id;  // of this start of the machine's kernel
  // When the process `pid` of this host was started (unix seconds), if it is a tovamill that has
  // not ended; nothing otherwise.
  std::function<std::optional<double>(std::int64_t pid)> tovamill_started;
};
RunProbe this_machine();

// One rank as status.json describes it; numbers that are absent are nothing.
struct RankReport {
  std::optional<std::uint64_t> rank, n_documents, n_failed, n_tokens;
  std::optional<double> silent_s, tokens_per_second;
  std::optional<double> seconds_computing, seconds_waiting, seconds_writing;
  std::string host, device, state, note;
};

// A document that failed, of the latest few.
struct FailureReport {
  std::string file, reason, text;
  std::optional<std::uint64_t> offset;
};

struct JournalTotals {
  std::uint64_t n = 0;         // files
  std::uint64_t n_bytes = 0;   // of them all
  double newest_unix_s = 0.0;  // when the last of them was written to; 0 without any
  // Documents in them, without duplicates: counted only where there is little to read.
  std::optional<std::uint64_t> n_documents;
};

// Every field of status.json may be missing or of another type, which is the same here. Texts are
// free of control characters.
struct RunReport {
  nlohmann::json status = nlohmann::json::object();  // as it was read
  std::string problem;  // why there is no status to read: "" or "is not there", "is not valid JSON"
  bool live = false;
  bool is_final = false;        // the run has ended: done, stopped, failed, lost
  std::optional<double> age_s;  // since status.json was written by its own account
  std::string state, message, host, launch_id;
  std::optional<std::int64_t> exit_code, pid;
  std::optional<double> started_unix_s, updated_unix_s;
  std::optional<std::uint64_t> launch, n_documents, n_failed, n_quarantined, n_tokens;
  std::optional<std::uint64_t> n_bytes, n_bytes_done, n_files;
  std::string left_out;  // of the corpus, as the first lines of a run say it
  std::optional<double> tokens_per_second, fraction, seconds, seconds_left;  // the last: unknown
  std::vector<RankReport> ranks;
  std::vector<FailureReport> failures;
  JournalTotals journals;
};

// Throws Error(no_input) where `run_directory` is not one: neither status.json nor journal/ in it.
// Whatever status.json holds, a report comes back.
RunReport read_run_report(const std::string& run_directory, const RunProbe& probe);

// The report of a status.json that was read, without its journals: fields, live or dead.
RunReport report_of(nlohmann::json status, const RunProbe& probe);

// The content of status.json plus "live", "age_s" (null: not known), "journals", and "trouble"
// where it could not be read.
nlohmann::json report_json(const RunReport& report);

// Whether the last status of a run directory says that its run is complete.
bool run_is_done(const std::string& run_directory);

}  // namespace tovamill
