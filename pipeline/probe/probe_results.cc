#include "pipeline/probe/probe_results.h"

#include <charconv>
#include <cmath>
#include <map>
#include <nlohmann/json.hpp>

#include "kernels/types/error.h"
#include "pipeline/run_directory/json_fields.h"

namespace tovamill {
namespace {

std::string csv_number(double value) {
  if (std::isnan(value)) return "";
  char buffer[64];
  return {buffer, std::to_chars(buffer, buffer + sizeof buffer, value).ptr};
}

// Of a run alone the instruction stands in its fingerprint only.
void read_options(const Hdf5File& part, ProbeSetting& setting) {
  for (const auto& [name, value] : part.attributes("/")) {
    const auto* text = std::get_if<std::string>(&value);
    const auto* n = std::get_if<std::int64_t>(&value);
    if (text && name == "policy") setting.policy = *text;
    if (text && name == "instruction") setting.instruction = *text;
    if (n && name == "cache_size") setting.cache_size = *n;
    if (text && name == "fingerprint" && setting.instruction.empty()) {
      const auto fingerprint = nlohmann::json::parse(*text, nullptr, false);
      if (fingerprint.is_object()) setting.instruction = text_at(fingerprint, "instruction");
    }
  }
}

}  // namespace

std::vector<ProbeCell> read_probe_cells(const Hdf5File& part) {
  if (!part.exists("/probe/task")) return {};
  const std::uint64_t n = part.shape("/probe/task").at(0);
  const auto tasks = part.read_strings("/probe/task", 0, n);
  const auto lengths = part.read<std::uint64_t>("/probe/length", 0, n);
  const auto depths = part.read<double>("/probe/depth", 0, n);
  const auto n_keys = part.read<std::uint64_t>("/probe/n_keys", 0, n);
  const auto n_found = part.read<std::uint64_t>("/probe/n_found", 0, n);
  ProbeCells cells;
  for (std::uint64_t i = 0; i < n; ++i) {
    const auto task = probe_task_named(tasks[i]);
    if (!task) throw BadData("/probe/task holds '" + tasks[i] + "', which is no task of a probe");
    ProbeKey key{.task = *task, .length = lengths[i], .depth = std::nullopt, .sample = 0};
    if (!std::isnan(depths[i])) key.depth = depths[i];
    cells.add(key, static_cast<std::uint32_t>(n_found[i]), static_cast<std::uint32_t>(n_keys[i]));
  }
  return cells.cells();
}

ProbeSetting read_probe_setting(const Hdf5File& file, const std::string& setting) {
  const Hdf5File part(file, setting.empty() ? "" : "/sweep/" + setting);
  ProbeSetting s{.name = setting, .policy = "", .instruction = "", .cells = {}};
  read_options(part, s);
  if (!setting.empty() && s.instruction.empty()) read_options(file, s);
  if (setting.empty()) s.name = s.policy;
  s.cells = read_probe_cells(part);
  return s;
}

std::vector<ProbeCell> over_depths(const std::vector<ProbeCell>& cells) {
  std::map<std::pair<ProbeTask, std::uint64_t>, ProbeCell> joined;
  for (const ProbeCell& c : cells) {
    ProbeCell& all = joined[{c.task, c.length}];
    all.task = c.task;
    all.length = c.length;
    all.add(c);
  }
  std::vector<ProbeCell> out;
  for (const auto& [key, cell] : joined) out.push_back(cell);
  return out;
}

std::string probe_csv_header() {
  return "setting,policy,cache_size,instruction,task,length,depth,n,n_right,accuracy,accuracy_se,"
         "accuracy_low,accuracy_high,found,found_se";
}

// Names of settings hold no comma and no quote.
std::vector<std::string> probe_csv_lines(const ProbeSetting& s) {
  std::vector<std::string> lines;
  for (const ProbeCell& c : s.cells) {
    std::string line = s.name + "," + s.policy + "," + std::to_string(s.cache_size) + "," +
                       s.instruction + "," + std::string(name_of(c.task)) + "," +
                       std::to_string(c.length) + "," + (c.depth ? depth_text(c.depth) : "") + "," +
                       std::to_string(c.n) + "," + std::to_string(c.n_right);
    for (const double value : {c.accuracy(), c.accuracy_se(), c.interval().low, c.interval().high,
                               c.found(), c.found_se()})
      line += "," + csv_number(value);
    lines.push_back(std::move(line));
  }
  return lines;
}

}  // namespace tovamill
