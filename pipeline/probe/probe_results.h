// What the probes of a results.h5 come to: read from /probe, for tables, CSV and the report.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "io/results/hdf5_file.h"
#include "pipeline/probe/probe_score.h"

namespace tovamill {

// A run, or one setting of a sweep.
struct ProbeSetting {
  std::string name;  // in the sweep; the policy of a run alone
  std::string policy, instruction;
  std::int64_t cache_size = 0;   // tokens, as the option was; 0: not known
  std::vector<ProbeCell> cells;  // none: the results hold no probe
};

// `part` is the file, or the group of a setting. Throws BadData for an unknown task.
std::vector<ProbeCell> read_probe_cells(const Hdf5File& part);
// `setting` is empty for a run alone.
ProbeSetting read_probe_setting(const Hdf5File& file, const std::string& setting);

// The answers of all depths together, by task and length.
std::vector<ProbeCell> over_depths(const std::vector<ProbeCell>& cells);

// setting, policy, cache_size, instruction, task, length, depth, n, n_right, accuracy, accuracy_se,
// accuracy_low, accuracy_high, found, found_se: a line for each cell; what is no number is empty.
std::string probe_csv_header();
std::vector<std::string> probe_csv_lines(const ProbeSetting& setting);

}  // namespace tovamill
