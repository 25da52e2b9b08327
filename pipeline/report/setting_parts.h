// The groups of a results.h5 as a report needs them, each into its fields of a setting. A group
// that is not there leaves them empty. All throw BadData for what does not fit together.
#pragma once

#include <string>

#include "io/results/hdf5_file.h"
#include "pipeline/report/setting.h"

namespace tovamill {

// /documents, /failures, and /tokens where it holds NLLs. `chunk_tokens`: the value of that option,
// or empty.
void read_documents(const Hdf5File& file, const std::string& chunk_tokens, ReportSetting& setting);
void read_cache(const Hdf5File& file, ReportSetting& setting);
void read_texts(const Hdf5File& file, ReportSetting& setting);
void read_workers(const Hdf5File& file, ReportSetting& setting);
void read_timelines(const Hdf5File& file, ReportSetting& setting);  // behind read_workers
void read_analysis(const Hdf5File& file, ReportSetting& setting);
void read_position_differences(const Hdf5File& file, ReportSetting& setting);

}  // namespace tovamill
