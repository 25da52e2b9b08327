// How long tokens of each class stayed in the states: /analysis.
#include <algorithm>
#include <array>
#include <cmath>
#include <string_view>

#include "kernels/types/format.h"
#include "kernels/types/token_class.h"
#include "pipeline/report/sections.h"

namespace tovamill {
namespace {

constexpr std::size_t kMostTagsDrawn = 16, kLongestTick = 7;

using ShownClasses = std::vector<ShownClass>;

bool is_analyzed(const ReportSetting& s) { return s.analysis.has_value(); }

// Short enough to stand beside each other.
std::string class_tick(const std::string& name) {
  constexpr std::array<std::pair<std::string_view, const char*>, 8> kShort{
      {{"newline", "new\nline"},
       {"possessive", "poss."},
       {"punctuation", "punct."},
       {"capitalised", "Cap."},
       {"word start", "word\nstart"},
       {"inside word", "inside\nword"},
       {"(none)", "none"},
       {"(unknown)", "other"}}};
  for (const auto& [full, tick] : kShort) {
    if (name == full) return tick;
  }
  return shortened(name, kLongestTick);
}

// The names of the classes of all settings, each once; of many, the most frequent.
std::vector<std::string> names_of(const Settings& settings, ShownClasses AnalysisNumbers::*classes,
                                  std::size_t most) {
  std::vector<std::pair<std::string, std::uint64_t>> names;
  for (const ReportSetting& s : settings) {
    if (!is_analyzed(s)) continue;
    for (const ShownClass& c : *s.analysis.*classes) {
      const auto found = std::find_if(names.begin(), names.end(),
                                      [&](const auto& n) { return n.first == c.name; });
      if (found == names.end())
        names.emplace_back(c.name, c.n_tokens);
      else
        found->second = std::max(found->second, c.n_tokens);
    }
  }
  if (names.size() > most) {
    std::stable_sort(names.begin(), names.end(),
                     [](const auto& a, const auto& b) { return a.second > b.second; });
    names.resize(most);
  }
  std::vector<std::string> chosen;
  for (const auto& [name, n] : names) chosen.push_back(name);
  return chosen;
}

const ShownClass* class_named(const ReportSetting& s, ShownClasses AnalysisNumbers::*classes,
                              const std::string& name) {
  if (!is_analyzed(s)) return nullptr;
  const ShownClasses& all = *s.analysis.*classes;
  const auto found =
      std::find_if(all.begin(), all.end(), [&](const ShownClass& c) { return c.name == name; });
  return found == all.end() ? nullptr : &*found;
}

// Settings stand side by side at each class; those without bound, whose tokens all stay, in the
// table only.
std::string class_points(const Settings& settings, Picture p,
                         ShownClasses AnalysisNumbers::*classes, std::size_t most,
                         const MakeFigure& figure) {
  const std::vector<std::string> names = names_of(settings, classes, most);
  HtmlTable table(p.title);
  table.text("setting").text("class").number("tokens of the documents").number("lifetime, steps");
  table.number("standard error").number("in the state at the end");
  const bool many = names.size() > kTokenClassNames.size();  // they stand in two lines then
  for (std::size_t i = 0; i < names.size(); ++i)
    p.x_ticks.emplace_back(static_cast<double>(i),
                           (many && i % 2 == 1 ? "\n" : "") + class_tick(names[i]));
  const auto n_drawn = static_cast<double>(std::min<std::size_t>(
      kMostCurves, static_cast<std::size_t>(std::count_if(
                       settings.begin(), settings.end(),
                       [](const ReportSetting& s) { return is_analyzed(s) && s.is_bounded; }))));
  for (const ReportSetting& s : settings) {
    if (!is_analyzed(s)) continue;
    PictureSeries series{.label = s.label, .kind = PictureSeries::Kind::points, .points = {}};
    series.colour = static_cast<int>(p.series.size());
    const double shift = 0.6 * ((static_cast<double>(series.colour) + 0.5) / n_drawn - 0.5);
    for (std::size_t i = 0; i < names.size(); ++i) {
      const ShownClass* c = class_named(s, classes, names[i]);
      if (!c) continue;
      series.points.push_back(
          {static_cast<double>(i) + shift, c->lifetime.value, c->lifetime.standard_error});
    }
    for (const ShownClass& c : *s.analysis.*classes)
      table.row({s.label, c.name, with_thousands(c.n_tokens), fixed_point(c.lifetime.value, 1),
                 fixed_point(c.lifetime.standard_error, 1), fixed_point(c.censored_share, 4)});
    if (s.is_bounded && p.series.size() < kMostCurves) p.series.push_back(series);
  }
  return figure(p, table);
}

// A row per layer, a column per class.
std::string class_maps(const Settings& settings, const MakeFigure& figure) {
  std::string html;
  std::size_t n_drawn = 0;
  for (std::size_t i = 0; i < settings.size() && n_drawn < kMostHeatMaps; ++i) {
    const ReportSetting& s = settings[i];
    if (!is_analyzed(s) || !s.is_bounded) continue;
    const AnalysisNumbers& a = *s.analysis;
    Picture p;
    p.name = "class-by-layer-" + std::to_string(i + 1);
    p.title = "Lifetime by class and layer: " + s.label;
    p.description = "Mean lifetime in steps, a row per layer.";
    p.x_label = "class of token";
    p.y_label = "layer";
    p.matrix = {.n_rows = a.n_layers,
                .n_columns = a.classes.size(),
                .values = std::vector<double>(a.n_layers * a.classes.size()),
                .label = "mean lifetime, steps"};
    HtmlTable table(p.title);
    table.number("layer");
    for (std::size_t c = 0; c < a.classes.size(); ++c) {
      table.number(a.classes[c].name);
      p.x_ticks.emplace_back(static_cast<double>(c), class_tick(a.classes[c].name));
      for (std::size_t l = 0; l < a.n_layers; ++l)
        p.matrix.values[l * a.classes.size() + c] = a.classes[c].by_layer[l];
    }
    for (std::size_t l = 0; l < a.n_layers; ++l) {
      std::vector<std::string> cells{std::to_string(l)};
      for (const ShownClass& c : a.classes) cells.push_back(fixed_point(c.by_layer[l], 1));
      table.row(cells);
    }
    html += figure(p, table);
    ++n_drawn;
  }
  return html;
}

std::string analysis_by_layer(const Settings& settings, Picture p,
                              std::vector<double> AnalysisNumbers::*values, int decimals,
                              const MakeFigure& figure) {
  HtmlTable table(p.title);
  table.text("setting").number("layer").number(p.y_label);
  p.x_label = "layer";
  p.x_margin = 0.5;
  p.y_from_zero = true;
  for (const ReportSetting& s : settings) {
    if (!is_analyzed(s) || !s.is_bounded) continue;
    PictureSeries series{.label = s.label, .points = {}};
    series.colour = static_cast<int>(p.series.size());
    for (std::size_t l = 0; l < s.analysis->n_layers; ++l) {
      const double value = (*s.analysis.*values)[l];
      series.points.push_back({static_cast<double>(l), value});
      table.row({s.label, std::to_string(l), fixed_point(value, decimals)});
    }
    if (p.series.size() < kMostCurves) p.series.push_back(series);
  }
  return figure(p, table);
}

}  // namespace

ReportSection class_section(const Settings& settings, const MakeFigure& figure) {
  ReportSection section{"classes", "Lifetime by class of token", ""};
  if (std::none_of(settings.begin(), settings.end(), is_analyzed)) {
    section.html = paragraph("The results do not hold it: score with --analyze.");
    return section;
  }
  Picture p;
  p.name = "class-lifetime";
  p.title = "Lifetime by class of token";
  p.description =
      "Mean over all layers of the steps from a token's own to the last one that attended to it, "
      "of "
      "those still in the state at the end of their chunk to its end; a bar is one standard error "
      "over documents.";
  p.x_label = "class of token";
  p.y_label = "mean lifetime, steps";
  p.x_margin = 0.5;
  p.y_from_zero = true;
  section.html =
      class_points(settings, p, &AnalysisNumbers::classes, kTokenClassNames.size(), figure);
  section.html += class_maps(settings, figure);
  p.name = "tag-lifetime";
  p.title = "Lifetime by tag of the lexicon";
  p.x_label = "tag";
  if (!names_of(settings, &AnalysisNumbers::tags, 1).empty())
    section.html += class_points(settings, p, &AnalysisNumbers::tags, kMostTagsDrawn, figure);
  Picture recent;
  recent.name = "recent-half";
  recent.title = "Share of the newest half";
  recent.description =
      "Of the tokens in full states of k tokens, over all steps, the share that was among the "
      "newest "
      "k / 2: a half for a window.";
  recent.y_label = "share of the newest k / 2";
  section.html +=
      analysis_by_layer(settings, recent, &AnalysisNumbers::recent_half_share, 4, figure);
  Picture first;
  first.name = "first-token-lifetime";
  first.title = "Lifetime of the first token";
  first.description = "Mean over chunks of the steps that their first token stayed.";
  first.y_label = "mean lifetime, steps";
  section.html +=
      analysis_by_layer(settings, first, &AnalysisNumbers::first_token_lifetime, 1, figure);
  return section;
}

}  // namespace tovamill
