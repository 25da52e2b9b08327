// What the states kept, and how long what they dropped had been there: /cache, by layer.
#include <algorithm>
#include <cmath>

#include "kernels/types/format.h"
#include "pipeline/report/sections.h"

namespace tovamill {
namespace {

constexpr double kNotThere = std::numeric_limits<double>::quiet_NaN();

bool has_evictions(const ReportSetting& s) { return s.cache && s.cache->n_evictions > 0; }

std::string power_text(double edge) {
  if (edge < 1.0) return "0";
  const auto n = static_cast<std::uint64_t>(edge);
  return n < 10'000       ? std::to_string(n)
         : n < 10'000'000 ? std::to_string(n >> 10) + "Ki"
                          : std::to_string(n >> 20) + "Mi";
}

// Columns up to the last with a value above 0; `zeros`: or with a 0 that was counted.
std::size_t used_columns(const std::vector<double>& values, std::size_t n_columns, bool zeros) {
  std::size_t used = 1;
  for (std::size_t i = 0; i < values.size(); ++i) {
    if (values[i] > 0.0 || (zeros && values[i] == 0.0)) used = std::max(used, i % n_columns + 1);
  }
  return used;
}

// Each row divided by its sum; NaN where that is 0.
std::vector<double> shares_of_rows(const std::vector<double>& values, std::size_t n_columns) {
  std::vector<double> shares(values.size());
  for (std::size_t row = 0; row + n_columns <= values.size(); row += n_columns) {
    double sum = 0.0;
    for (std::size_t c = 0; c < n_columns; ++c) sum += values[row + c];
    for (std::size_t c = 0; c < n_columns; ++c)
      shares[row + c] = sum > 0.0 ? values[row + c] / sum : kNotThere;
  }
  return shares;
}

struct LayerMap {
  std::string name, title, description, x_label, value_label;
};

// (n_layers, n_bins) values as a picture, by the lower edges of the bins.
Picture map_picture(const LayerMap& about, const ReportSetting& s, std::size_t number,
                    const std::vector<double>& values, const std::vector<double>& edges,
                    bool zeros) {
  const CacheNumbers& c = *s.cache;
  Picture p;
  p.name = about.name + "-" + std::to_string(number);
  p.title = about.title + ": " + s.label;
  p.description = about.description;
  p.x_label = about.x_label;
  p.y_label = "layer";
  p.matrix.n_rows = c.n_layers;
  p.matrix.n_columns = used_columns(values, c.n_bins, zeros);
  p.matrix.label = about.value_label;
  for (std::size_t l = 0; l < c.n_layers; ++l) {
    for (std::size_t b = 0; b < p.matrix.n_columns; ++b)
      p.matrix.values.push_back(values[l * c.n_bins + b]);
  }
  for (std::size_t b = 0; b < p.matrix.n_columns; b += 2)
    p.x_ticks.emplace_back(static_cast<double>(b), power_text(edges[b]));
  return p;
}

HtmlTable map_table(const Picture& p, const std::vector<double>& edges) {
  HtmlTable table(p.title);
  table.number("layer");
  for (std::size_t b = 0; b < p.matrix.n_columns; ++b) table.number("from " + power_text(edges[b]));
  for (std::size_t l = 0; l < p.matrix.n_rows; ++l) {
    std::vector<std::string> cells{std::to_string(l)};
    for (std::size_t b = 0; b < p.matrix.n_columns; ++b)
      cells.push_back(fixed_point(p.matrix.values[l * p.matrix.n_columns + b], 4));
    table.row(cells);
  }
  return table;
}

std::string maps_of(const Settings& settings, const LayerMap& about,
                    std::vector<double> CacheNumbers::*values, bool as_shares, bool steps,
                    const MakeFigure& figure) {
  std::string html;
  std::size_t n_drawn = 0, n_left = 0;
  for (std::size_t i = 0; i < settings.size(); ++i) {
    const ReportSetting& s = settings[i];
    if (!has_evictions(s) || (*s.cache.*values).empty()) continue;
    if (n_drawn == kMostHeatMaps) {
      ++n_left;
      continue;
    }
    const std::vector<double>& given = *s.cache.*values;
    const std::vector<double>& edges = steps ? s.cache->steps : s.cache->bins;
    const Picture p =
        map_picture(about, s, i + 1, as_shares ? shares_of_rows(given, s.cache->n_bins) : given,
                    edges, !as_shares);
    html += figure(p, map_table(p, edges));
    ++n_drawn;
  }
  if (n_left > 0)
    html += paragraph("Of " + counted(n_left, "more setting") +
                      " no map is drawn: make a report of these alone.");
  return html;
}

// A value of each layer, a curve for each setting.
std::string layer_curves(const Settings& settings, Picture p,
                         std::vector<double> CacheNumbers::*values, const MakeFigure& figure) {
  HtmlTable table(p.title);
  table.text("setting").number("layer").number(p.y_label);
  p.x_label = "layer";
  p.x_margin = 0.5;
  for (const ReportSetting& s : settings) {
    if (!has_evictions(s)) continue;
    PictureSeries series{.label = s.label, .points = {}};
    series.colour = static_cast<int>(p.series.size());
    for (std::size_t l = 0; l < (*s.cache.*values).size(); ++l) {
      const double value = (*s.cache.*values)[l];
      series.points.push_back({static_cast<double>(l), value});
      table.row({s.label, std::to_string(l), fixed_point(value, 4)});
    }
    if (p.series.size() < kMostCurves) p.series.push_back(series);
  }
  return figure(p, table);
}

// Lifetimes of all layers together.
std::string lifetime_curves(const Settings& settings, const MakeFigure& figure) {
  Picture p;
  p.name = "lifetime";
  p.title = "Lifetime of evicted tokens";
  p.description =
      "Share of the evicted tokens of all layers, by the steps from their own to the "
      "last one that attended to them, in bins of powers of two.";
  p.x_label = "steps, from";
  p.y_label = "share of evicted tokens";
  p.y_from_zero = true;
  p.x_is_log = true;
  HtmlTable table(p.title);
  table.text("setting").number("from").number("tokens").number("share");
  for (const ReportSetting& s : settings) {
    if (!has_evictions(s) || s.cache->lifetime.empty()) continue;
    const CacheNumbers& c = *s.cache;
    std::vector<double> sums(c.n_bins);
    for (std::size_t i = 0; i < c.lifetime.size(); ++i) sums[i % c.n_bins] += c.lifetime[i];
    const std::vector<double> shares = shares_of_rows(sums, c.n_bins);
    PictureSeries series{.label = s.label, .points = {}};
    series.colour = static_cast<int>(p.series.size());
    for (std::size_t b = 0, n = used_columns(sums, c.n_bins, false); b < n; ++b) {
      series.points.push_back({std::max(1.0, c.bins[b]), shares[b]});
      table.row({s.label, power_text(c.bins[b]),
                 with_thousands(static_cast<std::uint64_t>(sums[b])), fixed_point(shares[b], 4)});
    }
    if (p.series.size() < kMostCurves) p.series.push_back(series);
  }
  return figure(p, table);
}

std::string nothing_evicted(const Settings& settings) {
  const bool has_cache = std::any_of(settings.begin(), settings.end(),
                                     [](const ReportSetting& s) { return s.cache.has_value(); });
  return paragraph(has_cache ? "No state has evicted a token."
                             : "The results hold no statistics of states yet.");
}

}  // namespace

ReportSection survivor_section(const Settings& settings, const MakeFigure& figure) {
  ReportSection section{"survivors", "What the state kept", ""};
  section.html += maps_of(
      settings,
      {.name = "survivor-age",
       .title = "Age of survivors",
       .description = "Of the tokens in the state at the ends of chunks, the share of each age, a "
                      "row per layer, in bins of powers of two.",
       .x_label = "age in steps, from",
       .value_label = "share of the layer"},
      &CacheNumbers::survivor_age, true, false, figure);
  Picture recent;
  recent.name = "recent-share";
  recent.title = "Share of recent tokens";
  recent.description =
      "Of the tokens in the state at the ends of chunks, the share that a window "
      "of as many tokens would also hold.";
  recent.y_label = "recent share";
  recent.y_from_zero = true;
  section.html += layer_curves(settings, recent, &CacheNumbers::recent_share, figure);
  section.html += maps_of(
      settings,
      {.name = "first-token",
       .title = "Survival of the first token",
       .description = "Share of the chunks that reached a step whose first token was in the state "
                      "then, a row per layer.",
       .x_label = "step",
       .value_label = "share of chunks"},
      &CacheNumbers::first_token_survival, false, true, figure);
  if (section.html.empty()) section.html = nothing_evicted(settings);
  return section;
}

ReportSection lifetime_section(const Settings& settings, const MakeFigure& figure) {
  ReportSection section{"lifetime", "How long evicted tokens had lived", ""};
  section.html = lifetime_curves(settings, figure);
  section.html += maps_of(
      settings,
      {.name = "lifetime-by-layer",
       .title = "Lifetime by layer",
       .description = "Of the evicted tokens, the share of each lifetime, a row per layer, in bins "
                      "of powers of two.",
       .x_label = "steps, from",
       .value_label = "share of the layer"},
      &CacheNumbers::lifetime, true, false, figure);
  if (section.html.empty()) section.html = nothing_evicted(settings);
  return section;
}

}  // namespace tovamill
