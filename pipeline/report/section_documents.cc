// The documents: how their perplexities are spread, and which are the best and worst; the texts.
#include <algorithm>
#include <array>
#include <cmath>

#include "kernels/types/format.h"
#include "pipeline/report/sections.h"

namespace tovamill {
namespace {

constexpr std::size_t kMostSteps = 100;         // of a distribution, however many documents
constexpr std::size_t kLongestShown = 1500;     // bytes of a text
constexpr std::size_t kLongestShownName = 120;  // bytes of an id
constexpr std::array<double, 7> kQuantiles{0.0, 0.05, 0.25, 0.5, 0.75, 0.95, 1.0};

// The value that a share of the ascending values does not exceed; one of them.
double quantile(const std::vector<double>& ascending, double share) {
  const double at = std::ceil(share * static_cast<double>(ascending.size())) - 1.0;
  return ascending[static_cast<std::size_t>(std::max(0.0, at))];
}

Picture distribution_picture(const Settings& settings) {
  Picture p;
  p.name = "documents";
  p.title = "Distribution of the documents' perplexities";
  p.description = "Share of the documents whose perplexity per token is at most this.";
  p.x_label = "perplexity per token of a document";
  p.y_label = "share of documents";
  p.y_from_zero = true;
  double low = std::numeric_limits<double>::infinity(), high = 0.0;
  for (const ReportSetting& s : settings) {
    const std::vector<double>& all = s.documents.perplexities;
    if (all.empty() || p.series.size() == kMostCurves) continue;
    PictureSeries series{.label = s.label, .kind = PictureSeries::Kind::line, .points = {}};
    series.colour = static_cast<int>(p.series.size());
    const std::size_t n = std::min(all.size(), kMostSteps);
    double share = 0.0;
    for (std::size_t i = 1; i <= n; ++i) {
      const double next = static_cast<double>(i) / static_cast<double>(n);
      const double x = quantile(all, next);
      series.points.push_back({x, share});
      series.points.push_back({x, share = next});
    }
    low = std::min(low, all.front()), high = std::max(high, all.back());
    p.series.push_back(series);
  }
  p.x_is_log = high > 4.0 * low;
  return p;
}

HtmlTable distribution_table(const Settings& settings) {
  HtmlTable table("Quantiles of the documents' perplexities");
  table.text("setting").number("documents");
  for (const double q : kQuantiles)
    table.number(q == 0.0 ? "least" : q == 1.0 ? "greatest" : fixed_point(100.0 * q, 0) + " %");
  for (const ReportSetting& s : settings) {
    if (s.generates()) continue;
    std::vector<std::string> cells{s.label, with_thousands(s.documents.perplexities.size())};
    for (const double q : kQuantiles)
      cells.push_back(s.documents.perplexities.empty()
                          ? "-"
                          : perplexity_text(quantile(s.documents.perplexities, q)));
    table.row(cells);
  }
  return table;
}

HtmlTable extremes(const std::string& caption, const std::vector<ShownDocument>& documents) {
  HtmlTable table(caption);
  table.text("document").number("perplexity per token").number("tokens").text("where");
  for (const ShownDocument& d : documents)
    table.row({shortened(d.id, kLongestShownName), perplexity_text(d.perplexity),
               with_thousands(d.n_scored), d.place});
  return table;
}

Picture score_picture(const Settings& settings) {
  Picture p;
  p.name = "text-scores";
  p.title = "Scores of the texts";
  p.description =
      "Best over the references, mean over the texts that have some, and one standard "
      "error over documents.";
  p.x_label = "score";
  p.y_label = "mean over texts";
  p.y_from_zero = true;
  p.x_margin = 0.5;
  std::size_t n = 0;
  for (const ReportSetting& s : settings) n += s.generates();
  for (const ReportSetting& s : settings) {
    if (!s.generates() || p.series.size() == kMostCurves) continue;
    PictureSeries series{.label = s.label, .kind = PictureSeries::Kind::points, .points = {}};
    series.colour = static_cast<int>(p.series.size());
    const double place =
        (static_cast<double>(p.series.size()) + 0.5) / static_cast<double>(n) - 0.5;
    for (std::size_t i = 0; i < kTextScoreNames.size(); ++i) {
      const Estimate e = estimate_attribute(s.summary, kTextScoreNames[i]);
      series.points.push_back({static_cast<double>(i) + 0.6 * place, e.value, e.standard_error});
    }
    p.series.push_back(series);
  }
  for (std::size_t i = 0; i < kTextScoreNames.size(); ++i)
    p.x_ticks.emplace_back(static_cast<double>(i), kTextScoreNames[i]);
  return p;
}

HtmlTable score_table(const Settings& settings) {
  HtmlTable table("Scores of the texts");
  table.text("setting").text("score").number("best over references").number("mean over references");
  for (const ReportSetting& s : settings) {
    if (!s.generates()) continue;
    for (const char* name : kTextScoreNames)
      table.row({s.label, name, estimate_text(estimate_attribute(s.summary, name)),
                 estimate_text(estimate_attribute(s.summary, std::string(name) + "_mean"))});
  }
  return table;
}

std::string texts_of(const std::string& title, const std::vector<ShownText>& texts) {
  if (texts.empty()) return "";
  std::string html;
  for (const ShownText& t : texts) {
    std::string about = shortened(t.id, kLongestShownName);
    if (!t.question.empty()) about += ": " + shortened(t.question, kLongestShownName);
    for (std::size_t i = 0; i < t.scores.size(); ++i)
      about += std::string(i == 0 ? " (" : ", ") + kTextScoreNames[i] + " " +
               fixed_point(t.scores[i], 4) + (i + 1 == t.scores.size() ? ")" : "");
    html += "<dt>" + escaped(about) + "</dt>\n<dd>" + escaped(shortened(t.text, kLongestShown)) +
            " <small>[" + escaped(t.finish_reason) + "]</small></dd>\n";
  }
  return details(title, "<dl class=\"texts\">\n" + html + "</dl>\n");
}

}  // namespace

ReportSection document_section(const Settings& settings, const MakeFigure& figure) {
  ReportSection section{"documents", "Documents", ""};
  section.html = figure(distribution_picture(settings), distribution_table(settings));
  for (const ReportSetting& s : settings) {
    if (s.documents.perplexities.empty()) continue;
    section.html +=
        details("Worst and best documents: " + s.label,
                extremes("Worst of " + counted(s.documents.perplexities.size(), "document"),
                         s.documents.worst)
                        .html() +
                    extremes("Best", s.documents.best).html());
  }
  if (section.html.empty()) section.html = paragraph("No document has been scored.");
  return section;
}

ReportSection text_section(const Settings& settings, const MakeFigure& figure) {
  ReportSection section{"texts", "Texts", ""};
  if (std::none_of(settings.begin(), settings.end(),
                   [](const ReportSetting& s) { return s.generates(); }))
    return section;
  section.html = figure(score_picture(settings), score_table(settings));
  if (section.html.empty())
    section.html = paragraph("No text has references to be compared with: see --reference-key.");
  for (const ReportSetting& s : settings) {
    const bool has_scores = !s.best_texts.empty() && !s.best_texts.front().scores.empty();
    section.html +=
        texts_of((has_scores ? "Best texts: " : "First texts: ") + s.label, s.best_texts);
    section.html += texts_of("Worst texts: " + s.label, s.worst_texts);
  }
  return section;
}

}  // namespace tovamill
