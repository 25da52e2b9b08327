#include "pipeline/analysis/analysis_rows.h"

#include <cstdint>
#include <limits>

#include "kernels/types/error.h"

namespace tovamill {
namespace {

constexpr double kNoValue = std::numeric_limits<double>::quiet_NaN();

AnalysisRow position_row() {
  return {{"first", std::int64_t{0}},    {"last", std::int64_t{0}},
          {"n_tokens", std::int64_t{0}}, {"n_documents", std::int64_t{0}},
          {"nll_sum", kNoValue},         {"nll", kNoValue},
          {"nll_se", kNoValue}};
}

AnalysisRow class_row() {
  return {{"kind", std::string()},        {"name", std::string()},
          {"tokens", std::int64_t{0}},    {"layer", std::int64_t{-1}},
          {"evictions", std::int64_t{0}}, {"evicted_steps", std::int64_t{0}},
          {"survivors", std::int64_t{0}}, {"survivor_steps", std::int64_t{0}},
          {"mean_lifetime", kNoValue},    {"mean_lifetime_se", kNoValue},
          {"state_share", kNoValue}};
}

// A column whose length is known.
template <class T>
std::vector<T> column(const Hdf5File& file, const std::string& dataset, std::size_t n) {
  std::vector<T> values = file.read_all<T>(dataset);
  if (values.size() != n)
    throw BadData(file.in_file(dataset) + " has " + std::to_string(values.size()) +
                  " values instead of " + std::to_string(n) + ": the file is damaged");
  return values;
}

void each_position(const Hdf5File& file, const std::function<void(const AnalysisRow&)>& visit) {
  const std::string group = "/nll_by_position/";
  const std::size_t n = file.shape(group + "position").at(0);
  if (n == 0) return;
  const auto first = column<std::int64_t>(file, group + "position", n);
  AnalysisRow row = position_row();
  std::vector<std::vector<std::int64_t>> counts{first};
  for (const char* name : {"last", "n_tokens", "n_documents"})
    counts.push_back(column<std::int64_t>(file, group + name, n));
  std::vector<std::vector<double>> numbers;
  for (const char* name : {"nll_sum", "nll", "nll_se"})
    numbers.push_back(column<double>(file, group + name, n));
  for (std::size_t b = 0; b < n; ++b) {
    for (std::size_t c = 0; c < counts.size(); ++c) row[c].second = counts[c][b];
    for (std::size_t c = 0; c < numbers.size(); ++c) row[counts.size() + c].second = numbers[c][b];
    visit(row);
  }
}

void each_class(const Hdf5File& file, const std::string& group, const char* kind,
                const std::function<void(const AnalysisRow&)>& visit) {
  if (!file.exists(group + "/name")) return;
  const std::size_t n = file.shape(group + "/name").at(0),
                    n_layers = file.shape("/analysis/layer").at(0);
  const auto names = file.read_strings(group + "/name", 0, n);
  const auto tokens = column<std::int64_t>(file, group + "/tokens", n);
  std::vector<std::vector<std::int64_t>> counts;
  for (const char* name : {"/evictions", "/evicted_steps", "/survivors", "/survivor_steps"})
    counts.push_back(column<std::int64_t>(file, group + name, n * n_layers));
  std::vector<std::vector<double>> numbers;
  for (const char* name : {"/mean_lifetime", "/mean_lifetime_se", "/state_share"})
    numbers.push_back(column<double>(file, group + name, n * n_layers));
  const auto all = column<double>(file, group + "/lifetime", n),
             all_error = column<double>(file, group + "/lifetime_se", n);
  AnalysisRow row = class_row();
  row[0].second = std::string(kind);
  for (std::size_t i = 0; i < n; ++i) {
    row[1].second = names[i];
    row[2].second = tokens[i];
    std::vector<std::int64_t> sums(counts.size());
    for (std::size_t l = 0; l < n_layers; ++l) {
      row[3].second = static_cast<std::int64_t>(l);
      for (std::size_t c = 0; c < counts.size(); ++c) {
        row[4 + c].second = counts[c][l * n + i];
        sums[c] += counts[c][l * n + i];
      }
      for (std::size_t c = 0; c < numbers.size(); ++c) row[8 + c].second = numbers[c][l * n + i];
      visit(row);
    }
    row[3].second = std::int64_t{-1};
    for (std::size_t c = 0; c < counts.size(); ++c) row[4 + c].second = sums[c];
    row[8].second = all[i], row[9].second = all_error[i], row[10].second = kNoValue;
    visit(row);
  }
}

}  // namespace

bool has_analysis_table(const Hdf5File& file, AnalysisTable table) {
  return file.exists(table == AnalysisTable::positions ? "/nll_by_position/position"
                                                       : "/analysis/layer");
}

AnalysisRow empty_row(AnalysisTable table) {
  return table == AnalysisTable::positions ? position_row() : class_row();
}

void each_analysis_row(const Hdf5File& file, AnalysisTable table,
                       const std::function<void(const AnalysisRow&)>& visit) {
  if (!has_analysis_table(file, table)) return;
  if (table == AnalysisTable::positions) return each_position(file, visit);
  each_class(file, "/analysis/classes", "class", visit);
  each_class(file, "/analysis/tags", "tag", visit);
}

}  // namespace tovamill
