#include "pipeline/report/setting.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <nlohmann/json.hpp>
#include <set>
#include <string_view>

#include "kernels/types/cache_options.h"
#include "kernels/types/error.h"
#include "pipeline/report/setting_parts.h"
#include "pipeline/results/results_file.h"
#include "pipeline/results/results_writer.h"

namespace tovamill {
namespace {

using nlohmann::json;

constexpr double kNoNumber = std::numeric_limits<double>::quiet_NaN();
constexpr std::size_t kMostNamed = 3;           // options that differ, in a name
constexpr std::size_t kLongestNamedValue = 24;  // bytes of a value in a name

// Options that a name holds in another way, and those that only say what is kept.
const std::set<std::string> kNoName{"policy",      "cache-size",      "job",    "token-nll",
                                    "trace-state", "nll-by-position", "analyze"};

Attributes attributes_of(const Hdf5File& file, const std::string& object) {
  Attributes attributes;
  if (!file.exists(object)) return attributes;
  for (auto& [name, value] : file.attributes(object)) attributes[name] = value;
  return attributes;
}

std::string text_of(const Hdf5Value& value) {
  if (const auto* text = std::get_if<std::string>(&value)) return *text;
  if (const auto* n = std::get_if<std::int64_t>(&value)) return std::to_string(*n);
  std::ostringstream out;
  out << std::get<double>(value);
  return out.str();
}

// "model.gguf" of "/models/model.gguf (llama, 30 layers)" and of "/models/model.gguf".
std::string last_of_path(std::string text) {
  text = text.substr(0, text.find(" ("));
  while (text.size() > 1 && text.ends_with('/')) text.pop_back();
  return text.substr(text.rfind('/') + 1);
}

bool takes_merge(const std::string& policy) {
  try {
    return !policy.empty() && traits_of(policy_named(policy)).takes(kTakesMerge);
  } catch (const Error&) {  // of a newer program
    return false;
  }
}

std::map<std::string, std::string> options_of(const Attributes& root, const Attributes& own) {
  std::map<std::string, std::string> options;
  const json fingerprint = json::parse(text_attribute(root, "fingerprint"), nullptr, false);
  if (fingerprint.is_object()) {
    for (const auto& [key, value] : fingerprint.items()) {
      const json& first = value.is_array() && !value.empty() ? value.front() : value;
      options[key] = first.is_string() ? first.get<std::string>()
                                       : first.dump(-1, ' ', true, json::error_handler_t::replace);
    }
  }
  for (const char* name : {"model", "tokenizer", "job"}) {
    if (root.contains(name)) options[name] = last_of_path(text_attribute(root, name));
  }
  if (options.contains("corpus")) options["corpus"] = last_of_path(options["corpus"]);
  // A fingerprint names these only where they are given, and the places of the layers, which differ
  // with the size.
  if (options.contains("budgets")) options["budgets"] = "by layer";
  if (takes_merge(text_attribute(root, "policy"))) {
    options.emplace("merge", "0");
    options.emplace("budgets", "none");
  }
  for (const auto& [name, value] : own) {
    std::string key = name;
    std::replace(key.begin(), key.end(), '_', '-');
    options[key] = text_of(value);
  }
  return options;
}

bool bounded(const std::string& policy) {
  try {
    return traits_of(policy_named(policy)).is_bounded;
  } catch (const Error&) {  // of a newer program
    return true;
  }
}

ReportSetting read_setting(const std::string& path, const Hdf5File& file, const std::string& sweep,
                           const Attributes& root) {
  const Hdf5File part(file, sweep.empty() ? "" : "/sweep/" + sweep);
  if (!part.exists("/documents/id") || !part.exists("/summary"))
    throw BadData("'" + path + "'" + (sweep.empty() ? "" : ", setting '" + sweep + "'") +
                  " holds no results of tovamill: it has no /documents");
  ReportSetting s;
  s.path = path;
  s.sweep = sweep;
  const Attributes own = sweep.empty() ? Attributes() : attributes_of(part, "/");
  s.attributes = root;
  for (const auto& [name, value] : own) s.attributes[name] = value;
  s.options = options_of(root, own);
  s.summary = attributes_of(part, "/summary");
  s.paired = attributes_of(part, "/paired");
  s.is_bounded = bounded(text_attribute(s.attributes, "policy"));
  const auto chunk = s.options.find("chunk-tokens");
  read_documents(part, chunk == s.options.end() ? "" : chunk->second, s);
  read_cache(part, s);
  s.probe = read_probe_cells(part);
  read_texts(part, s);
  read_workers(part.exists("/run") ? part : file, s);
  read_timelines(part.exists("/run") ? part : file, s);
  read_analysis(part, s);
  read_position_differences(part, s);
  return s;
}

void check_schema(const std::string& path, const Attributes& root) {
  const auto found = root.find("schema_version");
  if (found == root.end())
    throw BadData("'" + path + "' is an HDF5 file but not of tovamill: it has no schema_version");
  if (found->second != Hdf5Value(kResultsSchema))
    throw BadData("'" + path + "' is of another schema version than " +
                  std::to_string(kResultsSchema) +
                  ": merge its run directory again with this program");
}

// Keys whose values differ between settings of one job and that a name may hold.
std::vector<std::string> differing_options(const std::vector<ReportSetting>& settings) {
  std::map<std::pair<std::string, std::string>, std::string> first;  // by job and key
  std::vector<std::string> keys;
  for (const ReportSetting& s : settings) {
    for (const auto& [key, value] : s.options) {
      const std::string job = text_attribute(s.attributes, "job");
      const auto [at, is_new] = first.emplace(std::pair(job, key), value);
      if (is_new || at->second == value || kNoName.contains(key)) continue;
      if (std::find(keys.begin(), keys.end(), key) == keys.end()) keys.push_back(key);
    }
  }
  return keys;
}

// What goes without saying.
bool is_unmerged(const std::string& key, const std::string& value) {
  return (key == "merge" && value == "0") || (key == "budgets" && value == "none");
}

bool have_one_job(const std::vector<ReportSetting>& settings) {
  return std::all_of(settings.begin(), settings.end(), [&](const ReportSetting& s) {
    return text_attribute(s.attributes, "job") ==
           text_attribute(settings.front().attributes, "job");
  });
}

// By the first of their family, then by size.
void sort_settings(std::vector<ReportSetting>& settings) {
  std::map<std::string, std::size_t> order;
  for (const ReportSetting& s : settings) order.emplace(s.family, order.size());
  std::stable_sort(settings.begin(), settings.end(),
                   [&](const ReportSetting& a, const ReportSetting& b) {
                     return std::pair(order[a.family], a.is_bounded ? a.cache_size() : 0) <
                            std::pair(order[b.family], b.is_bounded ? b.cache_size() : 0);
                   });
}

}  // namespace

std::string text_attribute(const Attributes& attributes, const std::string& name) {
  const auto found = attributes.find(name);
  const auto* text = found == attributes.end() ? nullptr : std::get_if<std::string>(&found->second);
  return text ? *text : "";
}

std::int64_t count_attribute(const Attributes& attributes, const std::string& name) {
  const auto found = attributes.find(name);
  const auto* n = found == attributes.end() ? nullptr : std::get_if<std::int64_t>(&found->second);
  return n ? *n : 0;
}

double number_attribute(const Attributes& attributes, const std::string& name) {
  const auto found = attributes.find(name);
  if (found == attributes.end()) return kNoNumber;
  if (const auto* n = std::get_if<std::int64_t>(&found->second)) return static_cast<double>(*n);
  const auto* x = std::get_if<double>(&found->second);
  return x ? *x : kNoNumber;
}

Estimate estimate_attribute(const Attributes& attributes, const std::string& name) {
  return {number_attribute(attributes, name), number_attribute(attributes, name + "_se")};
}

double ReportSetting::length() const {
  const auto chunk = options.find("chunk-tokens");
  if (chunk != options.end() && std::atoll(chunk->second.c_str()) > 0)
    return static_cast<double>(std::atoll(chunk->second.c_str()));
  const auto n = static_cast<double>(documents.perplexities.size());
  return n > 0.0 ? number_attribute(summary, "n_tokens") / n : kNoNumber;
}

double ReportSetting::tokens_per_second() const {
  double tokens = 0.0, seconds = 0.0;
  for (const WorkerRow& w : workers) {
    if (!(w.computing_s > 0.0)) continue;
    tokens += static_cast<double>(w.n_tokens);
    seconds += w.computing_s;
  }
  return seconds > 0.0 ? tokens / seconds : kNoNumber;
}

std::vector<ReportSetting> read_settings(const std::string& path) {
  const Hdf5File file(path, Hdf5File::Mode::read);
  const Attributes root = attributes_of(file, "/");
  check_schema(path, root);
  std::vector<ReportSetting> settings;
  for (const std::string& name : settings_of_results(file))
    settings.push_back(read_setting(path, file, name, root));
  if (settings.empty()) settings.push_back(read_setting(path, file, "", root));
  return settings;
}

void name_settings(std::vector<ReportSetting>& settings) {
  const std::vector<std::string> keys = differing_options(settings);
  const bool one_job = have_one_job(settings);
  for (ReportSetting& s : settings) {
    const std::string policy = text_attribute(s.attributes, "policy");
    s.family = policy.empty() ? (s.sweep.empty() ? "run" : s.sweep) : policy;
    if (!one_job && s.generates()) s.family += ", " + text_attribute(s.attributes, "job");
    std::size_t n = 0;
    for (const std::string& key : keys) {
      const auto found = s.options.find(key);
      if (found == s.options.end() || is_unmerged(key, found->second) || ++n > kMostNamed) continue;
      s.family += ", " + key + "=" + found->second.substr(0, kLongestNamedValue);
    }
    s.label = s.family;
    if (s.is_bounded && s.cache_size() > 0) s.label += ", k = " + std::to_string(s.cache_size());
  }
  sort_settings(settings);
  std::map<std::string, int> n_of_label;
  for (ReportSetting& s : settings) {
    const int same = ++n_of_label[s.label];
    if (same > 1) s.label += " (" + std::to_string(same) + ")";
  }
}

}  // namespace tovamill
