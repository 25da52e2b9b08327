// How the work went: time of every rank, failures, files left out.
#include <algorithm>
#include <cmath>
#include <set>

#include "kernels/types/format.h"
#include "pipeline/report/sections.h"

namespace tovamill {
namespace {

constexpr std::size_t kMostBars = 64;             // ranks drawn one by one; more are put together
constexpr std::size_t kMostRankRows = 200;        // of a table
constexpr std::size_t kLongestFailureText = 300;  // bytes of a failure

// The settings of a sweep share their ranks: the first one stands for the file.
std::vector<std::size_t> one_of_each_file(const Settings& settings) {
  std::vector<std::size_t> which;
  std::set<std::string> seen;
  for (std::size_t i = 0; i < settings.size(); ++i) {
    if (seen.insert(settings[i].path).second) which.push_back(i);
  }
  return which;
}

std::string name_of_file(const ReportSetting& s) { return s.sweep.empty() ? s.label : s.path; }

Picture rank_picture(const ReportSetting& s, std::size_t number) {
  Picture p;
  p.name = "ranks-" + std::to_string(number);
  p.title = "Time of the ranks: " + name_of_file(s);
  p.y_label = "seconds";
  const std::size_t n = s.workers.size(), each = (n + kMostBars - 1) / kMostBars;
  p.x_label = each > 1 ? "starts of ranks, " + std::to_string(each) + " together"
                       : "start of a rank, by launch and rank";
  p.description = "Seconds that a rank computed, wrote and waited for work" +
                  std::string(each > 1 ? ", mean of those put together." : ".");
  p.x_margin = 1.0;
  const std::array<std::pair<const char*, double WorkerRow::*>, 3> kParts{
      {{"computing", &WorkerRow::computing_s},
       {"writing", &WorkerRow::writing_s},
       {"waiting", &WorkerRow::waiting_s}}};
  for (const auto& [name, field] : kParts) {
    PictureSeries series{.label = name, .kind = PictureSeries::Kind::boxes, .points = {}};
    series.colour = static_cast<int>(p.series.size());
    for (std::size_t first = 0; each > 0 && first < n; first += each) {
      double sum = 0.0;
      const std::size_t end = std::min(first + each, n);
      for (std::size_t i = first; i < end; ++i) {
        const double value = s.workers[i].*field;
        sum += std::isfinite(value) ? value : 0.0;
      }
      series.points.push_back(
          {static_cast<double>(first / each), sum / static_cast<double>(end - first)});
    }
    p.series.push_back(series);
  }
  return p;
}

HtmlTable rank_table(const ReportSetting& s) {
  HtmlTable table("Ranks of " + name_of_file(s) +
                  (s.workers.size() > kMostRankRows
                       ? ", the first " + std::to_string(kMostRankRows) + " of " +
                             with_thousands(s.workers.size())
                       : ""));
  table.number("launch").number("rank").text("host").text("device").number("documents");
  table.number("tokens").number("tokens/s of computing").number("computing, s");
  table.number("waiting, s").number("writing, s");
  for (std::size_t i = 0; i < std::min(s.workers.size(), kMostRankRows); ++i) {
    const WorkerRow& w = s.workers[i];
    const double speed =
        w.computing_s > 0.0 ? static_cast<double>(w.n_tokens) / w.computing_s : std::nan("");
    table.row({std::to_string(w.launch), std::to_string(w.rank), w.host, w.device,
               with_thousands(w.n_documents), with_thousands(w.n_tokens), fixed_point(speed, 0),
               fixed_point(w.computing_s, 2), fixed_point(w.waiting_s, 2),
               fixed_point(w.writing_s, 2)});
  }
  return table;
}

std::string failures_of(const ReportSetting& s) {
  const DocumentStatistics& d = s.documents;
  if (d.failures_by_reason.empty()) return "";
  HtmlTable reasons("Failures by reason: " + s.label);
  reasons.text("reason").number("documents");
  for (const auto& [reason, n] : d.failures_by_reason) reasons.row({reason, with_thousands(n)});
  HtmlTable first("First failures: " + s.label);
  first.text("where").text("reason").text("what was wrong");
  for (const ShownFailure& f : d.first_failures)
    first.row({f.place, f.reason, shortened(f.text, kLongestFailureText)});
  return reasons.html() + details("First failures: " + s.label, first.html());
}

std::string status_of(const ReportSetting& s) {
  if (!s.status) return "";
  const RunReport& r = *s.status;
  std::string text = name_of_file(s) + ": " + (r.state.empty() ? "no state" : r.state);
  if (r.tokens_per_second)
    text += ", " + fixed_point(*r.tokens_per_second, 0) + " tokens/s over " +
            (r.seconds ? human_duration(*r.seconds) : "its last start");
  return paragraph(text + ".");
}

}  // namespace

ReportSection speed_section(const Settings& settings, const MakeFigure& figure) {
  ReportSection section{"speed", "Speed and failures", ""};
  for (const std::size_t i : one_of_each_file(settings)) {
    const ReportSetting& s = settings[i];
    section.html += status_of(s);
    section.html += figure(rank_picture(s, i + 1), rank_table(s));
    const std::string left_out = text_attribute(s.attributes, "left_out");
    if (!left_out.empty())
      section.html += paragraph("Left out by " + name_of_file(s) + ": " + left_out + ".");
  }
  std::string failures;
  for (const ReportSetting& s : settings) failures += failures_of(s);
  section.html += failures.empty() ? paragraph("No document failed.") : failures;
  section.html += paragraph(
      "Runs record the time of their ranks as a whole; of what happened when, they keep nothing.");
  return section;
}

}  // namespace tovamill
