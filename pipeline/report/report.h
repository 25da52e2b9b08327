// tovamill report: runs as one page that needs nothing else, and as pictures for papers.
#pragma once

#include <string>
#include <utility>
#include <vector>

#include "pipeline/report/setting.h"

namespace tovamill {

struct ReportPicture {
  std::string name;  // "perplexity-by-size"
  std::string png;   // bytes
};

struct ReportPage {
  std::string html;
  std::vector<ReportPicture> pictures;  // where they are wanted
};

// Named settings. The same settings give the same bytes. Throws Error(no_device) where gnuplot is
// not installed, Error(io) where it fails.
ReportPage make_report(const std::vector<ReportSetting>& settings, bool with_png);

// Whether a file begins as a report, or as a picture of one, does.
bool is_report_file(const std::string& path);
bool is_report_picture(const std::string& path);

}  // namespace tovamill
