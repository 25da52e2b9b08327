#include "pipeline/results/run_set.h"

#include <algorithm>
#include <array>
#include <charconv>
#include <ctime>
#include <map>
#include <nlohmann/json.hpp>
#include <set>
#include <string>
#include <string_view>

#include "kernels/types/error.h"
#include "pipeline/run_directory/input_files.h"
#include "pipeline/run_directory/json_fields.h"

namespace tovamill {
namespace {

using nlohmann::json;

constexpr std::array<std::string_view, 5> kWhatIsRead{"corpus", "glob", "skip", "limit", "part"};
constexpr const char* kWhole = "1/1";  // --part of a whole corpus

bool is_what_is_read(std::string_view key) {
  return std::find(kWhatIsRead.begin(), kWhatIsRead.end(), key) != kWhatIsRead.end();
}

json header_of(const JournalFile& journal) { return json::parse(journal.header, nullptr, false); }

json fingerprint_of(const json& header) {
  return header.is_object() ? header.value("fingerprint", json()) : json();
}

std::string field_text(const json& fingerprint, const std::string& key) {
  const auto found = fingerprint.find(key);
  if (found == fingerprint.end()) return "not there";
  return found->is_string() ? found->get<std::string>()
                            : found->dump(-1, ' ', true, json::error_handler_t::replace);
}

std::string differences(const json& one, const json& other) {
  if (!one.is_object() || !other.is_object()) return one == other ? "" : "the fingerprint";
  std::set<std::string> keys;
  for (const json* fingerprint : {&one, &other}) {
    for (const auto& [key, value] : fingerprint->items()) {
      if (!is_what_is_read(key)) keys.insert(key);
    }
  }
  std::string text;
  for (const std::string& key : keys) {
    if (field_text(one, key) != field_text(other, key))
      text += (text.empty() ? "--" : ", --") + key + " is " + field_text(one, key) + " and " +
              field_text(other, key);
  }
  return text;
}

// Whether fingerprints that are equal otherwise name all parts.
bool are_all_parts(const std::vector<json>& fingerprints) {
  std::map<std::string, std::set<std::string>> parts;  // by the rest of the fingerprint
  for (json fingerprint : fingerprints) {
    if (!fingerprint.is_object()) continue;
    const std::string part = fingerprint.contains("part") ? text_at(fingerprint, "part") : kWhole;
    fingerprint.erase("part");
    parts[fingerprint.dump() + part.substr(std::min(part.find('/'), part.size()))].insert(part);
  }
  return std::all_of(parts.begin(), parts.end(), [](const auto& group) {
    const std::string& one = *group.second.begin();
    return std::to_string(group.second.size()) == one.substr(one.find('/') + 1);
  });
}

// Joins fingerprints that differ in what is read: all their corpora, and the whole in the place of
// all its parts.
json joined_fingerprints(const std::vector<json>& fingerprints) {
  json joined = fingerprints.back();
  if (!joined.is_object()) return joined;
  for (const std::string_view view : kWhatIsRead) {
    const std::string key(view);
    if (std::all_of(fingerprints.begin(), fingerprints.end(), [&](const json& fingerprint) {
          return field_text(fingerprint, key) == field_text(joined, key);
        }))
      continue;
    std::set<json> values;
    for (const json& fingerprint : fingerprints) {
      const json value = fingerprint.is_object() ? fingerprint.value(key, json()) : json();
      if (value.is_array())
        values.insert(value.begin(), value.end());
      else if (!value.is_null())
        values.insert(value);
    }
    if (key == "part" && values.size() > 1 && are_all_parts(fingerprints)) values = {kWhole};
    if (values.size() == 1)
      joined[key] = *values.begin();
    else
      joined[key] = values;
  }
  return joined;
}

bool says_complete(const JournalFile& journal) {
  const json footer = json::parse(journal.footer, nullptr, false);
  return footer.is_object() && footer.value("complete", false);
}

// The newest launch of a run directory.
struct Newest {
  int launch = 0;
  bool complete = false;
  json fingerprint;
};

std::string now() {
  const std::time_t t = std::time(nullptr);
  char text[32];
  std::tm utc{};
  gmtime_r(&t, &utc);
  std::strftime(text, sizeof text, "%Y-%m-%dT%H:%M:%SZ", &utc);
  return text;
}

std::string job_of(const json& header) {
  const std::string job = text_at(header, "job");
  return job.empty() ? "score" : job;  // older programs had no other
}

Hdf5Value hdf5_value(const json& value) {
  if (value.is_number_integer()) return value.get<std::int64_t>();
  if (value.is_number()) return value.get<double>();
  return value.is_string() ? value.get<std::string>() : value.dump();
}

// Of a sweep: its settings as the journal's header names them.
std::vector<SettingHeader> settings_of(const json& header) {
  std::vector<SettingHeader> settings;
  if (!header.contains("sweep")) return settings;
  for (const json& s : header["sweep"]) {
    SettingHeader setting{
        .name = text_at(s, "name"), .is_baseline = s.value("baseline", false), .options = {}};
    for (const auto& [option, value] : s["options"].items())
      setting.options.emplace_back(option, hdf5_value(value));
    settings.push_back(std::move(setting));
  }
  return settings;
}

void describe_by(ResultsHeader& h, const json& header) {
  const json fingerprint = fingerprint_of(header);
  h.job = job_of(header);
  h.model = text_at(header, "model");
  h.tokenizer = text_at(header, "tokenizer");
  h.policy = text_at(fingerprint, "policy");
  h.positions = text_at(fingerprint, "positions");
  h.stems = text_at(fingerprint, "stem") == "true";
  const std::string size = text_at(fingerprint, "cache-size");
  h.cache_size = 0;
  std::from_chars(size.data(), size.data() + size.size(), h.cache_size);
  h.settings = settings_of(header);
  h.config = text_at(header, "config");
  h.program_version = text_at(header, "program_version");
  h.git_hash = text_at(header, "git_hash");
  h.command = text_at(header, "command");
  h.host = text_at(header, "host");
  h.slurm_job = text_at(header, "slurm_job");
}

std::string line_of_history(const JournalFile& journal, const json& header) {
  return "launch " + std::to_string(journal.launch) + " rank " + std::to_string(journal.rank) +
         " at " + text_at(header, "started") + " on " + text_at(header, "host") + ": " +
         std::to_string(journal.n_documents) + " documents\n";
}

}  // namespace

void check_mergeable(const JournalIndex& index) {
  const JournalFile* first = nullptr;
  json expected;
  std::string job;
  for (const JournalFile& journal : index.journals) {
    const json header = header_of(journal), fingerprint = fingerprint_of(header);
    if (fingerprint.is_null()) continue;  // torn before its header
    if (!first) {
      first = &journal;
      expected = fingerprint;
      job = job_of(header);
      continue;
    }
    if (job_of(header) != job)
      throw Error(ExitCode::configuration, "'" + first->path + "' is of the job " + job + " and '" +
                                               journal.path + "' of " + job_of(header) +
                                               ": only runs of the same job can be merged");
    const std::string what = differences(expected, fingerprint);
    if (!what.empty())
      throw Error(ExitCode::configuration,
                  "'" + first->path + "' and '" + journal.path + "' are of different options (" +
                      what + "): only runs that differ in what they read can be merged");
  }
}

ResultsHeader results_header(const JournalIndex& index) {
  ResultsHeader h;
  std::map<std::uint32_t, Newest> directories;
  int described_launch = 0;
  for (const JournalFile& journal : index.journals) {  // the newest last
    const json header = header_of(journal);
    if (!header.is_object()) continue;
    h.history += line_of_history(journal, header);
    // The first rank of a launch counts: others may have the model under another path.
    if (journal.launch != described_launch) describe_by(h, header);
    described_launch = journal.launch;
    Newest& newest = directories[journal.run_directory];
    newest.complete =
        says_complete(journal) || (newest.complete && newest.launch == journal.launch);
    newest.launch = journal.launch;
    newest.fingerprint = fingerprint_of(header);
  }
  std::vector<json> fingerprints;
  h.complete = !directories.empty() && directories.size() == index.run_directories.size();
  for (const auto& [number, newest] : directories) {
    h.complete = h.complete && newest.complete;
    fingerprints.push_back(newest.fingerprint);
  }
  if (fingerprints.size() > 1) h.complete = h.complete && are_all_parts(fingerprints);
  if (!fingerprints.empty()) h.fingerprint = joined_fingerprints(fingerprints).dump();
  std::set<std::string> left_out;
  for (const std::string& directory : index.run_directories)
    left_out.insert(read_inputs(directory).left_out);
  for (const std::string& text : left_out) {
    if (!text.empty()) h.left_out += (h.left_out.empty() ? "" : "; ") + text;
  }
  h.created = now();
  return h;
}

}  // namespace tovamill
