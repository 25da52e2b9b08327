// What probes found: right answers by length and by size of the state for each task, and by depth
// and length for each setting.
#include <algorithm>
#include <cmath>
#include <limits>
#include <set>

#include "kernels/types/format.h"
#include "pipeline/report/sections.h"

namespace tovamill {
namespace {

bool has_task(const ReportSetting& s, ProbeTask task) {
  return std::any_of(s.probe.begin(), s.probe.end(),
                     [&](const ProbeCell& c) { return c.task == task; });
}

std::vector<ProbeTask> tasks_of(const Settings& settings) {
  std::set<ProbeTask> tasks;
  for (const ReportSetting& s : settings) {
    for (const ProbeCell& c : s.probe) tasks.insert(c.task);
  }
  return {tasks.begin(), tasks.end()};
}

std::string interval_text(const ProbeCell& c) {
  return fixed_point(c.interval().low, 3) + " to " + fixed_point(c.interval().high, 3);
}

// A curve for each setting, all depths together.
std::string length_curves(const Settings& settings, ProbeTask task, const MakeFigure& figure) {
  Picture p;
  p.name = "probe-" + std::string(name_of(task));
  p.title = "Right answers by length: " + std::string(name_of(task));
  p.description =
      "Share of the answers that hold all that was hidden in the text, all depths together, with "
      "its standard error.";
  p.x_label = "tokens of the text";
  p.y_label = "share of right answers";
  p.y_from_zero = true;
  p.x_is_log = true;
  HtmlTable table(p.title);
  table.text("setting").number("tokens").number("answers").number("right").number("share");
  table.number("95 % (Wilson)").number("keys found");
  for (const ReportSetting& s : settings) {
    if (!has_task(s, task)) continue;
    PictureSeries series{.label = s.label, .points = {}};
    series.colour = static_cast<int>(p.series.size());
    for (const ProbeCell& c : over_depths(s.probe)) {
      if (c.task != task) continue;
      series.points.push_back({static_cast<double>(c.length), c.accuracy(), c.accuracy_se()});
      table.row({s.label, with_thousands(c.length), with_thousands(c.n), with_thousands(c.n_right),
                 fixed_point(c.accuracy(), 3), interval_text(c),
                 estimate_text({c.found(), c.found_se()})});
    }
    if (p.series.size() < kMostCurves) p.series.push_back(series);
  }
  return figure(p, table);
}

ProbeCell all_of(const ReportSetting& s, ProbeTask task) {
  ProbeCell all{.task = task, .length = 0, .depth = std::nullopt};
  for (const ProbeCell& c : s.probe) {
    if (c.task == task) all.add(c);
  }
  return all;
}

// A curve for each policy, all lengths and depths together; none where there is one size only.
std::string size_curves(const Settings& settings, ProbeTask task, const MakeFigure& figure) {
  Picture p;
  p.name = "probe-" + std::string(name_of(task)) + "-size";
  p.title = "Right answers by size of the state: " + std::string(name_of(task));
  p.description =
      "Share of right answers of all lengths and depths together; a dashed line is a state without "
      "bound.";
  p.x_label = "tokens in the state";
  p.y_label = "share of right answers";
  p.y_from_zero = true;
  p.x_is_log = true;
  HtmlTable table(p.title);
  table.text("setting").number("tokens in the state").number("answers").number("share");
  table.number("95 % (Wilson)");
  std::set<std::int64_t> sizes;
  for (const ReportSetting& s : settings) {
    if (!has_task(s, task)) continue;
    const ProbeCell all = all_of(s, task);
    const bool is_sized = s.is_bounded && s.cache_size() > 0;
    table.row({s.label, is_sized ? std::to_string(s.cache_size()) : "all", with_thousands(all.n),
               fixed_point(all.accuracy(), 3), interval_text(all)});
    const auto same = std::find_if(p.series.begin(), p.series.end(), [&](const PictureSeries& x) {
      return is_sized && x.label == s.family;
    });
    const PicturePoint point{static_cast<double>(s.cache_size()), all.accuracy(),
                             all.accuracy_se()};
    if (is_sized) sizes.insert(s.cache_size());
    if (same != p.series.end()) {
      same->points.push_back(point);
    } else if (p.series.size() < kMostCurves) {
      PictureSeries series{.label = is_sized ? s.family : s.label, .points = {point}};
      if (!is_sized) series.kind = PictureSeries::Kind::level;
      series.colour = static_cast<int>(p.series.size());
      p.series.push_back(series);
    }
  }
  for (const std::int64_t size : sizes)
    p.x_ticks.emplace_back(static_cast<double>(size), std::to_string(size));
  return sizes.size() < 2 ? "" : figure(p, table);
}

// The share of right answers: a row for each depth, a column for each length.
std::string depth_map(const ReportSetting& s, std::size_t number, ProbeTask task,
                      const MakeFigure& figure) {
  std::set<std::uint64_t> length_set;
  std::set<double> depth_set;
  for (const ProbeCell& c : s.probe) {
    if (c.task != task || !c.depth) continue;
    length_set.insert(c.length);
    depth_set.insert(*c.depth);
  }
  const std::vector<std::uint64_t> lengths(length_set.begin(), length_set.end());
  const std::vector<double> depths(depth_set.begin(), depth_set.end());
  Picture p;
  p.name = "probe-" + std::string(name_of(task)) + "-" + std::to_string(number);
  p.title = "Right answers by depth and length: " + std::string(name_of(task)) + ", " + s.label;
  p.description =
      "Share of right answers by the length of the text and the share of it before what is "
      "hidden.";
  p.x_label = "tokens of the text";
  p.y_label = "depth";
  p.matrix = {.n_rows = depths.size(),
              .n_columns = lengths.size(),
              .values = std::vector<double>(depths.size() * lengths.size(),
                                            std::numeric_limits<double>::quiet_NaN()),
              .label = "share of right answers",
              .most = 1.0};
  HtmlTable table(p.title);
  table.number("depth").number("tokens").number("answers").number("share").number("95 % (Wilson)");
  for (const ProbeCell& c : s.probe) {
    if (c.task != task || !c.depth) continue;
    const auto row = std::find(depths.begin(), depths.end(), *c.depth) - depths.begin();
    const auto column = std::find(lengths.begin(), lengths.end(), c.length) - lengths.begin();
    p.matrix
        .values[static_cast<std::size_t>(row) * lengths.size() + static_cast<std::size_t>(column)] =
        c.accuracy();
    table.row({depth_text(c.depth), with_thousands(c.length), with_thousands(c.n),
               fixed_point(c.accuracy(), 3), interval_text(c)});
  }
  for (std::size_t i = 0; i < lengths.size(); ++i)
    p.x_ticks.emplace_back(static_cast<double>(i), std::to_string(lengths[i]));
  for (std::size_t i = 0; i < depths.size(); ++i)
    p.y_ticks.emplace_back(static_cast<double>(i), depth_text(depths[i]));
  return figure(p, table);
}

}  // namespace

ReportSection probe_section(const Settings& settings, const MakeFigure& figure) {
  ReportSection section{"probe", "What was found", ""};
  for (const ProbeTask task : tasks_of(settings))
    section.html += length_curves(settings, task, figure) + size_curves(settings, task, figure);
  std::size_t n_drawn = 0, n_left = 0;
  for (const ProbeTask task : tasks_of(settings)) {
    for (std::size_t i = 0; has_depth(task) && i < settings.size(); ++i) {
      if (!has_task(settings[i], task)) continue;
      if (n_drawn == kMostProbeMaps) {
        ++n_left;
        continue;
      }
      section.html += depth_map(settings[i], i + 1, task, figure);
      ++n_drawn;
    }
  }
  if (n_left > 0)
    section.html += paragraph("Of " + counted(n_left, "more pair") +
                              " of task and setting no map is drawn: tovamill export --probe has "
                              "all numbers.");
  return section;
}

}  // namespace tovamill
