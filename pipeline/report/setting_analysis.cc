// /analysis, /paired and the times of /run of a setting.
#include <algorithm>
#include <cmath>

#include "kernels/types/error.h"
#include "pipeline/analysis/analysis_rows.h"
#include "pipeline/report/setting_parts.h"

namespace tovamill {
namespace {

// Of more a picture shows nothing more: neighbours of one width, whose common error is not known.
constexpr std::size_t kMostDifferences = 256;

std::int64_t count_of(const AnalysisRow& row, std::size_t column) {
  return std::get<std::int64_t>(row[column].second);
}
double number_of(const AnalysisRow& row, std::size_t column) {
  return std::get<double>(row[column].second);
}

// A dataset whose number of values is known.
std::vector<double> numbers_of(const Hdf5File& file, const std::string& path,
                               const std::string& dataset, std::size_t n) {
  std::vector<double> values = file.read_all<double>(dataset);
  if (values.size() != n)
    throw BadData("'" + path + "': " + dataset + " has " + std::to_string(values.size()) +
                  " values instead of " + std::to_string(n) + ": the file is damaged");
  return values;
}

}  // namespace

void read_analysis(const Hdf5File& file, ReportSetting& s) {
  if (!has_analysis_table(file, AnalysisTable::classes)) return;
  AnalysisNumbers a;
  a.n_layers = file.shape("/analysis/layer").at(0);
  a.recent_half_share = numbers_of(file, s.path, "/analysis/recent_half_share", a.n_layers);
  a.first_token_lifetime = numbers_of(file, s.path, "/analysis/first_token_lifetime", a.n_layers);
  ShownClass shown;
  each_analysis_row(file, AnalysisTable::classes, [&](const AnalysisRow& row) {
    if (count_of(row, 3) >= 0) {
      shown.by_layer.push_back(number_of(row, 8));
      return;
    }
    shown.name = std::get<std::string>(row[1].second);
    shown.n_tokens = static_cast<std::uint64_t>(count_of(row, 2));
    const std::int64_t survivors = count_of(row, 6), entries = survivors + count_of(row, 4);
    shown.censored_share = static_cast<double>(survivors) / static_cast<double>(entries);
    shown.lifetime = {number_of(row, 8), number_of(row, 9)};
    const bool is_tag = std::get<std::string>(row[0].second) == "tag";
    (is_tag ? a.tags : a.classes).push_back(shown);
    shown = {};
  });
  s.analysis = std::move(a);
}

void read_position_differences(const Hdf5File& file, ReportSetting& s) {
  const std::string name = "/paired/nll_difference_by_position";
  if (!file.exists(name)) return;
  const std::size_t n = file.shape(name).at(0);
  const std::vector<double> first = numbers_of(file, s.path, "/paired/position", n),
                            value = numbers_of(file, s.path, name, n),
                            error = numbers_of(file, s.path, name + "_se", n);
  for (std::size_t b = 0; b < n; ++b) s.differences.push_back({first[b], {value[b], error[b]}});
  while (s.differences.size() > kMostDifferences) {
    std::vector<PositionDifference> merged;
    for (std::size_t b = 0; b + 1 < s.differences.size(); b += 2)
      merged.push_back(
          {s.differences[b].first,
           {0.5 * (s.differences[b].nll.value + s.differences[b + 1].nll.value), std::nan("")}});
    s.differences = std::move(merged);
  }
}

void read_timelines(const Hdf5File& file, ReportSetting& s) {
  if (!file.exists("/run/timeline_width") || !file.exists("/run/bin")) return;
  const std::size_t n = s.workers.size(), n_bins = file.shape("/run/bin").at(0);
  const std::vector<double> width = numbers_of(file, s.path, "/run/timeline_width", n);
  const auto table = [&](const char* name) {
    return numbers_of(file, s.path, std::string("/run/timeline_") + name, n * n_bins);
  };
  const std::vector<double> tokens = table("tokens"), computing = table("computing"),
                            waiting = table("waiting");
  for (std::size_t i = 0; i < n; ++i) {
    WorkerRow& worker = s.workers[i];
    worker.bin_s = width[i];
    for (std::size_t b = i * n_bins; b < (i + 1) * n_bins && std::isfinite(tokens[b]); ++b)
      worker.times.push_back({tokens[b], computing[b], waiting[b]});
  }
}

}  // namespace tovamill
