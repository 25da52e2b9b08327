// What tells this program's own output files from others, by their content.
#pragma once

#include <string>
#include <vector>

#include "io/results/hdf5_file.h"

namespace tovamill {

// Whether a file is a results.h5: HDF5 with this program's attributes at its root.
bool is_results_file(const std::string& path);

// The corpus files of the documents in a results.h5, each once. Throws BadData, Error(no_input).
std::vector<std::string> corpus_files_of(const std::string& results);

// The settings of a sweep, whose groups are /sweep/<name>; none of other results.
std::vector<std::string> settings_of_results(const Hdf5File& file);

// Whether a file begins as those of tovamill export: with one of its header lines (CSV), or an
// object of its keys (JSON lines).
bool is_exported_file(const std::string& path);

}  // namespace tovamill
