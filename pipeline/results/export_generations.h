// The generated texts of a results.h5 as CSV or JSON lines.
#pragma once

#include <functional>
#include <string>

#include "io/results/hdf5_file.h"
#include "pipeline/results/export.h"

namespace tovamill {

// The first line of the CSV.
std::string generation_csv_header(bool ids);

// Calls `write` with each line but the CSV's first, without its end; see export_results. `path`
// names the file in messages, `setting` that of a sweep of which several are written, or is empty.
// Throws BadData if /generations does not fit /documents.
void export_generations(const Hdf5File& file, const std::string& path, const ExportOptions& options,
                        const std::string& setting,
                        const std::function<void(const std::string&)>& write);

}  // namespace tovamill
