// The sections of a report: HTML, and the pictures in it.
#pragma once

#include <functional>
#include <string>
#include <vector>

#include "pipeline/report/html.h"
#include "pipeline/report/picture.h"
#include "pipeline/report/setting.h"

namespace tovamill {

struct ReportSection {
  std::string id, title;
  std::string html;
};

// Makes a figure of a picture and its table of numbers; "" where it has no point to draw.
using MakeFigure = std::function<std::string(const Picture&, const HtmlTable&)>;

using Settings = std::vector<ReportSetting>;

// Settings whose heat maps are drawn, and curves of a picture; tables have all.
inline constexpr std::size_t kMostHeatMaps = 12, kMostProbeMaps = 24, kMostCurves = 24;

ReportSection summary_section(const Settings& settings);
// Empty where there are no probes.
ReportSection probe_section(const Settings& settings, const MakeFigure& figure);
ReportSection size_section(const Settings& settings, const MakeFigure& figure);
ReportSection position_section(const Settings& settings, const MakeFigure& figure);
ReportSection survivor_section(const Settings& settings, const MakeFigure& figure);
ReportSection lifetime_section(const Settings& settings, const MakeFigure& figure);
ReportSection class_section(const Settings& settings, const MakeFigure& figure);
ReportSection document_section(const Settings& settings, const MakeFigure& figure);
ReportSection text_section(const Settings& settings, const MakeFigure& figure);
ReportSection speed_section(const Settings& settings, const MakeFigure& figure);
// Of the section on speed.
std::string time_figures(const Settings& settings, const MakeFigure& figure);
ReportSection option_section(const Settings& settings);

}  // namespace tovamill
