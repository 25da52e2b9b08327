// Perplexity against the size of the state, and the NLL by position.
#include <algorithm>
#include <cmath>
#include <map>
#include <set>

#include "kernels/types/format.h"
#include "pipeline/report/sections.h"

namespace tovamill {
namespace {

bool is_sized(const ReportSetting& s) {
  return !s.generates() && s.is_bounded && s.cache_size() > 0;
}

// The length that all sized settings have in common; NaN where they differ by more than 1 %.
double common_length(const Settings& settings) {
  double low = std::numeric_limits<double>::infinity(), high = 0.0;
  for (const ReportSetting& s : settings) {
    if (!is_sized(s)) continue;
    const double length = s.length();
    if (!std::isfinite(length)) return length;
    low = std::min(low, length), high = std::max(high, length);
  }
  return high > 0.0 && high <= 1.01 * low ? high : std::nan("");
}

// "1/8", or "0.137" where the size is no whole part.
std::string relative_text(double size, double length) {
  if (!std::isfinite(length) || size <= 0.0) return "-";
  const double parts = length / size;
  if (parts >= 1.0 && std::abs(parts - std::round(parts)) < 1e-9)
    return "1/" + std::to_string(std::llround(parts));
  return fixed_point(size / length, 3);
}

Picture size_picture(const Settings& settings) {
  Picture p;
  p.name = "perplexity-by-size";
  p.title = "Perplexity against the size of the state";
  p.x_label = "tokens in the state";
  p.y_label = "perplexity per token";
  p.x_is_log = true;
  std::map<std::string, PictureSeries> families;
  std::set<std::int64_t> sizes;
  for (const ReportSetting& s : settings) {
    if (!is_sized(s)) continue;
    const Estimate e = estimate_attribute(s.summary, "perplexity_token");
    PictureSeries& series = families[s.family];
    series.label = s.family;
    series.points.push_back({static_cast<double>(s.cache_size()), e.value, e.standard_error});
    sizes.insert(s.cache_size());
  }
  for (auto& [family, series] : families) {
    if (p.series.size() == kMostCurves) break;
    std::sort(series.points.begin(), series.points.end(),
              [](const PicturePoint& a, const PicturePoint& b) { return a.x < b.x; });
    series.colour = static_cast<int>(p.series.size());
    p.series.push_back(series);
  }
  for (const ReportSetting& s : settings) {
    if (s.generates() || s.is_bounded || p.series.size() == kMostCurves) continue;
    PictureSeries level{.label = s.label, .kind = PictureSeries::Kind::level, .points = {}};
    level.points = {{0.0, estimate_attribute(s.summary, "perplexity_token").value}};
    level.colour = static_cast<int>(p.series.size());
    if (std::isfinite(level.points.front().y)) p.series.push_back(level);
  }
  double low = std::numeric_limits<double>::infinity(), high = 0.0;
  for (const PictureSeries& s : p.series) {
    for (const PicturePoint& point : s.points)
      low = std::fmin(low, point.y), high = std::fmax(high, point.y);
  }
  p.y_is_log = high > 4.0 * low;
  const double length = common_length(settings);
  for (const std::int64_t size : sizes) {
    std::string text = std::to_string(size);
    if (std::isfinite(length)) text += "\n" + relative_text(static_cast<double>(size), length);
    p.x_ticks.emplace_back(static_cast<double>(size), text);
  }
  if (std::isfinite(length)) p.x_label += ", and as a share of " + fixed_point(length, 0);
  p.description =
      "A point is a setting, its bar one standard error over documents; a dashed line "
      "is a state without bound.";
  return p;
}

HtmlTable size_table(const Settings& settings) {
  HtmlTable table("Perplexity by size");
  table.text("setting").number("tokens in the state").number("of").number("share");
  table.number("perplexity per token").number("standard error");
  for (const ReportSetting& s : settings) {
    if (s.generates()) continue;
    const Estimate e = estimate_attribute(s.summary, "perplexity_token");
    const bool sized = is_sized(s);
    table.row({s.label, sized ? with_thousands(static_cast<std::uint64_t>(s.cache_size())) : "all",
               fixed_point(s.length(), 0),
               sized ? relative_text(static_cast<double>(s.cache_size()), s.length()) : "1",
               std::isfinite(e.value) ? perplexity_text(e.value) : "-",
               std::isfinite(e.standard_error) ? perplexity_text(e.standard_error) : "-"});
  }
  return table;
}

// Where sizes are shares of different lengths, the paper's axis needs a picture of its own.
Picture relative_picture(const Settings& settings, Picture p) {
  p.name = "perplexity-by-share";
  p.title = "Perplexity against the share of the text that the state holds";
  p.x_label = "size of the state / tokens of a chunk, or else of the mean document";
  p.x_ticks.clear();
  for (PictureSeries& series : p.series) {
    if (series.kind == PictureSeries::Kind::level) continue;
    series.points.clear();
    for (const ReportSetting& s : settings) {
      if (!is_sized(s) || s.family != series.label) continue;
      const Estimate e = estimate_attribute(s.summary, "perplexity_token");
      const double x = static_cast<double>(s.cache_size()) / s.length();
      series.points.push_back({x, e.value, e.standard_error});
      const bool is_known = std::any_of(p.x_ticks.begin(), p.x_ticks.end(),
                                        [&](const auto& tick) { return tick.first == x; });
      if (std::isfinite(x) && !is_known)
        p.x_ticks.emplace_back(x, relative_text(static_cast<double>(s.cache_size()), s.length()));
    }
  }
  return p;
}

Picture position_picture(const Settings& settings) {
  Picture p;
  p.name = "nll-by-position";
  p.title = "NLL by position";
  p.description =
      "Mean over the tokens at these positions of their document, or chunk; where there "
      "are few curves, a bar is one standard error over documents.";
  p.x_label = "position, tokens";
  p.y_label = "NLL, nats per token";
  p.x_is_log = true;
  for (std::size_t i = 0; i < settings.size(); ++i) {
    if (settings[i].positions.empty() || p.series.size() == kMostCurves) continue;
    PictureSeries series{
        .label = settings[i].label, .kind = PictureSeries::Kind::line, .points = {}};
    series.colour = static_cast<int>(p.series.size());
    for (const PositionBin& b : settings[i].positions) {
      const auto first = static_cast<double>(std::max<std::uint64_t>(1, b.first)),
                 last = static_cast<double>(std::max<std::uint64_t>(1, b.last));
      series.points.push_back({std::sqrt(first * last), b.nll.value, b.nll.standard_error});
    }
    p.series.push_back(series);
  }
  return p;
}

HtmlTable position_table(const Settings& settings) {
  HtmlTable table("NLL by position");
  table.text("setting").number("from").number("to").number("tokens").number("NLL, nats");
  table.number("standard error");
  for (const ReportSetting& s : settings) {
    for (const PositionBin& b : s.positions)
      table.row({s.label, with_thousands(b.first), with_thousands(b.last),
                 with_thousands(b.n_tokens), fixed_point(b.nll.value, 4),
                 fixed_point(b.nll.standard_error, 4)});
  }
  return table;
}

// The curves of a sweep less that of its baseline.
std::string difference_figure(const Settings& settings, const MakeFigure& figure) {
  Picture p;
  p.name = "difference-by-position";
  p.title = "NLL by position, less the baseline's";
  p.description =
      "Mean over the tokens at these positions of what they cost more than under the baseline of "
      "their sweep, document by document; where there are few curves, a bar is one standard error "
      "over documents.";
  p.x_label = "position, tokens, from";
  p.y_label = "difference, nats per token";
  p.x_is_log = true;
  HtmlTable table(p.title);
  table.text("setting").number("from").number("difference, nats").number("standard error");
  for (const ReportSetting& s : settings) {
    const bool is_baseline = std::all_of(
        s.differences.begin(), s.differences.end(),
        [](const PositionDifference& d) { return d.nll.value == 0.0 || std::isnan(d.nll.value); });
    if (is_baseline) continue;
    PictureSeries series{.label = s.label, .kind = PictureSeries::Kind::line, .points = {}};
    series.colour = static_cast<int>(p.series.size());
    for (const PositionDifference& d : s.differences) {
      if (std::isnan(d.nll.value)) continue;
      series.points.push_back({std::max(1.0, d.first), d.nll.value, d.nll.standard_error});
      table.row({s.label, with_thousands(static_cast<std::uint64_t>(d.first)),
                 fixed_point(d.nll.value, 5), fixed_point(d.nll.standard_error, 5)});
    }
    if (p.series.size() < kMostCurves) p.series.push_back(series);
  }
  return figure(p, table);
}

}  // namespace

ReportSection size_section(const Settings& settings, const MakeFigure& figure) {
  ReportSection section{"size", "Perplexity by size of the state", ""};
  if (std::none_of(settings.begin(), settings.end(), is_sized)) {
    section.html = paragraph("No setting scores with a bounded state.");
    return section;
  }
  const Picture picture = size_picture(settings);
  section.html = figure(picture, size_table(settings));
  if (!std::isfinite(common_length(settings)))
    section.html += figure(relative_picture(settings, picture), size_table(settings));
  if (section.html.empty()) section.html = paragraph("No setting has a perplexity yet.");
  return section;
}

ReportSection position_section(const Settings& settings, const MakeFigure& figure) {
  ReportSection section{"position", "NLL by position", ""};
  section.html = figure(position_picture(settings), position_table(settings)) +
                 difference_figure(settings, figure);
  if (section.html.empty())
    section.html = paragraph(
        "The results hold no NLL of tokens: score with --token-nll, or --nll-by-position.");
  return section;
}

}  // namespace tovamill
