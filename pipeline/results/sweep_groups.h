// /sweep of results.h5: a group for each setting, with all that a run of it alone has, and, of
// `score`, what it differs by from the baseline, document by document.
#pragma once

#include <memory>
#include <optional>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "io/results/hdf5_file.h"
#include "pipeline/analysis/position_differences.h"
#include "pipeline/results/paired.h"
#include "pipeline/results/results_group.h"

namespace tovamill {

// A setting as the headers of the journals name it.
struct SettingHeader {
  std::string name;
  bool is_baseline = false;  // one of them
  std::vector<std::pair<std::string, Hdf5Value>>
      options;  // attributes: "policy", "cache_size", ...
};

class SweepGroups {
 public:
  SweepGroups(Hdf5File& file, std::span<const SettingHeader> settings, const ResultsSizes& sizes);

  // As ResultsWriter::add; a record without settings stands for all of them.
  void add(const DocumentRecord& record);
  // Of the documents, with the summaries of the settings.
  CorpusSummary finish();

 private:
  struct Setting {
    std::string name;
    std::unique_ptr<ResultsGroup> results;
    std::optional<Hdf5Appender<double>> differences;  // none: texts, see compare.h
    PairedDifference paired;
    PositionDifferences by_position;
  };
  void make_differences(Setting& setting, const ResultsSizes& sizes);
  void write_paired(const Setting& setting, const PairedSummary& paired);

  Hdf5File& file_;
  std::vector<Setting> settings_;
  std::size_t baseline_ = 0;
  SummaryBuilder documents_;
};

}  // namespace tovamill
