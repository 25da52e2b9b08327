// /nll_by_position and /analysis of a results.h5 as rows of a table, for `tovamill export` and the
// report.
#pragma once

#include <functional>
#include <string>
#include <utility>
#include <vector>

#include "io/results/hdf5_file.h"

namespace tovamill {

enum class AnalysisTable { positions, classes };

// Names of the columns and their values; NaN: there is none.
using AnalysisRow = std::vector<std::pair<const char*, Hdf5Value>>;

// Whether `file`, or the part of it that is meant, holds the table.
bool has_analysis_table(const Hdf5File& file, AnalysisTable table);
// Names alone, of a row without values.
AnalysisRow empty_row(AnalysisTable table);
// In the order of the file; positions: a row per bin; classes: per class and layer, behind them one
// of all layers together, whose layer is -1. Throws BadData where columns differ in length.
void each_analysis_row(const Hdf5File& file, AnalysisTable table,
                       const std::function<void(const AnalysisRow&)>& visit);

}  // namespace tovamill
